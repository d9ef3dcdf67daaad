"""From training to artifact and back: same scores, and nothing damaged gets in."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.errors import ArtifactError, TrainingError
from serving.experts.expert import Expert
from serving.experts.heads import HEADS
from serving.experts.synthetic import KINDS
from serving.experts.training import TrainOptions, train
from tests.serving.experts.pictures import SIDE, scratched, surface

PROBES = [surface(100), scratched(101), surface(102, 150), scratched(103, 120), surface(104)]


@pytest.fixture(scope="module")
def artifact(trained: ComposedExpert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    return root / "part" / save_artifact(trained, root)


def scores(expert: Expert) -> np.ndarray:
    return np.array([s.score for s in expert.score(PROBES)])


def test_defects_are_found_and_outlined_where_they_are(trained: ComposedExpert) -> None:
    normal = trained.score([surface(200 + i) for i in range(8)])
    odd = trained.score([scratched(300 + i) for i in range(8)])
    assert max(s.score for s in normal) < min(s.score for s in odd)
    for found in odd:
        assert found.anomalous
        assert found.p_value <= 0.1
        assert found.region is not None
        assert found.full_map().shape == (SIDE, SIDE)
        x, y = found.region.blobs[0].centroid
        assert x > SIDE * 0.4
        assert y > SIDE * 0.4


def test_scores_survive_saving_and_loading(trained: ComposedExpert, artifact: Path) -> None:
    loaded = load_expert(artifact, runtime=trained.choice.runtime, precision="f32", threads=1)
    assert loaded.version == artifact.name == trained.version
    assert np.allclose(scores(loaded), scores(trained), rtol=1e-5)


def test_torch_and_openvino_agree(artifact: Path) -> None:
    found = [scores(load_expert(artifact, r, "f32", "cpu", 1)) for r in ("torch", "openvino")]
    assert np.allclose(found[0], found[1], rtol=1e-2)


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_score_depends_neither_on_batch_nor_order(artifact: Path, runtime: str) -> None:
    expert = load_expert(artifact, runtime, "f32", "cpu", 2)
    whole = [s.score for s in expert.score(PROBES)]
    alone = [expert.score([p])[0].score for p in PROBES]
    turned = [s.score for s in expert.score(PROBES[::-1])][::-1]
    large = [s.score for s in expert.score(PROBES * 4)][5:10]
    for other in (alone, turned, large):
        assert np.allclose(whole, other, rtol=1e-6, atol=0)


def test_bf16_is_measured_on_normals_that_its_heads_have_not_seen(artifact: Path) -> None:
    """Heads remember what they were fitted on: there every score is at the floor."""
    stated = json.loads((artifact / "manifest.json").read_text())["trained"]["precision"]
    assert stated["measured"]
    assert 0 < stated["normals"] < 30
    assert stated["score_deviation_median"] > 0


def test_saving_again_changes_nothing(trained: ComposedExpert, artifact: Path) -> None:
    assert save_artifact(trained, artifact.parent.parent) == artifact.name
    assert [p.name for p in artifact.parent.iterdir()] == [artifact.name]


def test_training_is_reproducible(normals: list[Path], trained: ComposedExpert) -> None:
    again = train("part", normals, TrainOptions(**trained.model.trained["options"]))
    assert np.allclose(scores(again), scores(trained), rtol=1e-5)


def test_the_artifact_says_which_heads_and_why(artifact: Path) -> None:
    choice = json.loads((artifact / "manifest.json").read_text())["trained"]["choice"]
    assert set(choice["heads"]) == set(HEADS)
    assert all("synthetic AUROC" in entry["why"] for entry in choice["heads"].values())


def test_the_artifact_says_what_its_threshold_finds(
    trained: ComposedExpert, artifact: Path, normals: list[Path]
) -> None:
    report = json.loads((artifact / "manifest.json").read_text())["trained"]["sensitivity"]
    assert set(report["by_kind"]) == set(KINDS)
    assert [row["asked_rate"] for row in report["at_rates"]] == [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
    files = [entry["file"] for entry in report["oddest"]]
    assert set(files) <= {p.name for p in normals}
    assert set(trained.held_out_maps) == set(files)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("truncate", "tensors.* truncated or altered"),
        ("flip", "tensors.* truncated or altered"),
        ("no tensors", "tensors.* cannot be read"),
        ("manifest", "manifest.* altered"),
        ("no manifest", "manifest.* cannot be read"),
    ],
)
def test_damage_is_refused(artifact: Path, tmp_path: Path, damage: str, reason: str) -> None:
    copy = tmp_path / artifact.name
    shutil.copytree(artifact, copy)
    tensors, manifest = copy / "tensors.safetensors", copy / "manifest.json"
    body = tensors.read_bytes()
    if damage == "truncate":
        tensors.write_bytes(body[:-100])
    elif damage == "flip":
        tensors.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    elif damage == "no tensors":
        tensors.unlink()
    elif damage == "manifest":
        manifest.write_text(manifest.read_text().replace('"layers"', '"Layers"'))
    else:
        manifest.unlink()
    with pytest.raises(ArtifactError, match=reason):
        load_expert(copy)


def test_another_schema_is_refused(artifact: Path, tmp_path: Path) -> None:
    import hashlib

    text = (artifact / "manifest.json").read_text().replace('"schema": ', '"schema": 9')
    copy = tmp_path / hashlib.sha256(text.encode()).hexdigest()
    shutil.copytree(artifact, copy)
    (copy / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match="schema"):
        load_expert(copy)


def test_a_product_name_cannot_leave_the_root(trained: ComposedExpert, tmp_path: Path) -> None:
    from dataclasses import replace

    root = tmp_path / "artifacts"
    expert = ComposedExpert(replace(trained.model, product="../escape"), trained.choice)
    digest = save_artifact(expert, root)
    assert [p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob(digest)] == ["artifacts"]
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize(
    "options",
    [{"false_alarm_rate": 0.0}, {"size": 100}, {"folds": 1}, {"heads": ("nosuch",)}],
)
def test_options_out_of_range_are_named(options: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match=next(iter(options))):
        TrainOptions(**options)  # type: ignore[arg-type]


def test_too_few_images_are_refused(normals: list[Path]) -> None:
    with pytest.raises(TrainingError, match="too few"):
        train("part", normals[:5])
