"""A trained expert is taught by labelled photographs: what changes, and what must not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.experts.artifact import load_expert, load_training_set, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.errors import ArtifactError, TrainingError
from serving.experts.expert import Expert
from serving.experts.taught import ROLES, TAUGHT
from serving.experts.teaching import LabelledPicture, Teacher, teach
from serving.experts.types import Mask
from tests.serving.experts.pictures import SIDE, scratched, surface

PROBES = [surface(100), scratched(101), surface(102, 150), scratched(103, 120)]


def faint(seed: int) -> np.ndarray:
    """A surface with a faint band that the untaught expert hardly sees."""
    picture = surface(seed).astype(np.int16)
    picture[60:66, 20:76] += 5
    return np.clip(picture, 0, 255).astype(np.uint8)


def band() -> Mask:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[60:66, 20:76] = True
    return mask


def exemplars(count: int = 3, masked: bool = True) -> list[LabelledPicture]:
    mask = band() if masked else None
    return [LabelledPicture(faint(700 + i), "band", mask, f"part-{i}") for i in range(count)]


def scores(expert: Expert) -> list[float]:
    return [s.score for s in expert.score(PROBES)]


@pytest.fixture(scope="module")
def artifact(trained: ComposedExpert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    return root / "part" / save_artifact(trained, root)


@pytest.fixture(scope="module")
def loaded(artifact: Path) -> ComposedExpert:
    expert = load_expert(artifact, "openvino", "f32", "cpu", 1)
    assert isinstance(expert, ComposedExpert)
    return expert


@pytest.fixture(scope="module")
def teacher(loaded: ComposedExpert) -> Teacher:
    return Teacher(loaded)


@pytest.fixture(scope="module")
def taught(teacher: Teacher) -> ComposedExpert:
    return teacher.teach(exemplars())


def test_the_training_set_comes_back_without_loss(trained: ComposedExpert, artifact: Path) -> None:
    kept, again = trained.training_set(), load_training_set(artifact)
    np.testing.assert_array_equal(again.pixels, kept.pixels)
    assert (again.parts, again.files, again.tiles) == (kept.parts, kept.files, 1)
    assert set(again.held_out) == set(trained.model.roles)
    for name, values in kept.held_out.items():
        np.testing.assert_array_equal(again.held_out[name], values)


def test_what_was_taught_is_found_on_other_parts(
    loaded: ComposedExpert, taught: ComposedExpert
) -> None:
    odd = [faint(800 + i) for i in range(12)]
    before, after = ([s.anomalous for s in e.score(odd)] for e in (loaded, taught))
    assert sum(after) > sum(before)
    assert sum(after) >= 11
    assert sum(s.anomalous for s in taught.score([surface(900 + i) for i in range(20)])) <= 4


def test_its_map_joins_the_region(taught: ComposedExpert) -> None:
    region = taught.score([faint(820)])[0].region
    assert region is not None
    _, y = region.blobs[0].centroid
    assert abs(y - 63) < 12


def test_drawn_exemplars_choose_how_much_of_a_peak_is_outlined(taught: ComposedExpert) -> None:
    assert taught.model.taught is not None
    assert 0 < taught.model.taught.region_share < 1
    found = taught.score([faint(821)])[0]
    assert found.region is not None
    assert found.anomaly_map is not None
    inside = found.anomaly_map[found.region.mask]
    assert inside.min() > taught.model.taught.region_share * found.anomaly_map.max() - 1e-6


def test_nothing_taught_changes_nothing(loaded: ComposedExpert, teacher: Teacher) -> None:
    assert scores(teacher.teach([])) == scores(loaded)
    assert scores(teach(loaded, [])) == scores(loaded)


def test_a_taught_expert_is_saved_loaded_and_untaught(
    loaded: ComposedExpert, taught: ComposedExpert, tmp_path: Path
) -> None:
    folder = tmp_path / "part" / save_artifact(taught, tmp_path)
    again = load_expert(folder, "openvino", "f32", "cpu", 1)
    assert isinstance(again, ComposedExpert)
    assert scores(again) == scores(taught)
    assert again.version != loaded.version
    plain = teach(again, [])
    assert scores(plain) == scores(loaded)
    assert plain.model.calibration.threshold == loaded.model.calibration.threshold
    said = json.loads((folder / "manifest.json").read_text())["trained"][TAUGHT]
    assert said["classes"]["band"]["parts"] == 3
    assert said["pictures"] == [e.digest for e in exemplars()]


def test_the_other_heads_see_what_they_saw(loaded: ComposedExpert, taught: ComposedExpert) -> None:
    for before, after in zip(loaded.score(PROBES), taught.score(PROBES), strict=True):
        for name, surprise in before.heads.items():
            assert after.heads[name] == pytest.approx(surprise, rel=1e-3, abs=1e-3)
        assert set(after.heads) - set(before.heads) == {TAUGHT}


def test_the_order_of_the_exemplars_does_not_matter(
    teacher: Teacher, taught: ComposedExpert
) -> None:
    turned = teacher.teach(exemplars()[::-1])
    np.testing.assert_allclose(scores(turned), scores(taught), rtol=1e-4)


def test_exemplars_without_a_mask_teach_too(teacher: Teacher) -> None:
    """The oddest cells stand for the mask, as they do where a mask covers all."""
    unmarked = teacher.teach(exemplars(masked=False))
    whole = [replace(e, mask=np.ones((SIDE, SIDE), bool)) for e in exemplars()]
    assert scores(teacher.teach(whole)) == scores(unmarked)
    assert unmarked.model.taught is not None


def test_a_hard_normal_is_no_longer_pointed_at(teacher: Teacher, taught: ComposedExpert) -> None:
    hard = [LabelledPicture(faint(830 + i), "normal", band(), f"hard-{i}") for i in range(3)]
    softened = teacher.teach(exemplars(), hard)
    probe = [faint(840 + i) for i in range(6)]
    before, after = (np.mean([s.heads[TAUGHT] for s in e.score(probe)]) for e in (taught, softened))
    assert after < before


def test_an_expert_without_its_training_set_says_what_to_do(
    artifact: Path, loaded: ComposedExpert, tmp_path: Path
) -> None:
    bare = ComposedExpert(loaded.model, loaded.choice)
    with pytest.raises(TrainingError, match="train it again"):
        teach(bare, exemplars())
    folder = tmp_path / "part" / save_artifact(bare, tmp_path)
    with pytest.raises(ArtifactError, match="train it again"):
        load_training_set(folder)


def test_held_out_scores_are_those_that_the_threshold_comes_from(
    loaded: ComposedExpert, teacher: Teacher, tmp_path: Path
) -> None:
    """In the training set's order, also after the artifact was saved and loaded."""
    digest = save_artifact(teacher.teach(exemplars()), tmp_path)
    taught = load_expert(tmp_path / "part" / digest, "openvino", "f32", "cpu", 1)
    assert isinstance(taught, ComposedExpert)
    for expert in (loaded, taught):
        found = expert.held_out_scores()
        assert len(found) == len(expert.training_set().files)
        assert np.allclose(np.sort(found), expert.model.calibration.scores)


def test_an_artifact_that_an_earlier_build_taught_scores_as_it_did(
    taught: ComposedExpert, tmp_path: Path
) -> None:
    """It gated the taught head and did not keep what the other heads say of normals."""
    assert taught.model.taught is not None
    assert taught.model.taught.role in ROLES
    earlier = replace(taught.model.taught, role="gated", others=None)
    expert = ComposedExpert(replace(taught.model, taught=earlier), taught.wanted, keep=taught.keep)
    folder = tmp_path / "part" / save_artifact(expert, tmp_path)
    assert json.loads((folder / "manifest.json").read_text())["schema"] == 7
    again = load_expert(folder, "openvino", "f32", "cpu", 1)
    assert isinstance(again, ComposedExpert)
    assert scores(again) == scores(expert)
    assert scores(again) != scores(taught)
