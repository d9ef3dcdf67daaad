"""Few-shot figures: the split keeps parts apart, and the figures mean what they say."""

from pathlib import Path

import numpy as np
import pytest

from lab.datasets.folders import load_dataset
from lab.velm.answers_cache import Cache
from lab.velm.fewshot import FewShotFigures, _Table, calibration_error, measure
from lab.velm.fewshot_material import EXPERT, TRUE, Example, FewShotError, gather
from policies.authoring.loading import load_policy
from streams.events import Inspection
from tests.serving.naming.pictures import KINDS, plate, png, spoiled

POLICY = """
policy: 1
product: plate
normal: {description: A plain plate.}
classes:
  hole: {description: A hole., severity: defect, action: scrap}
  line: {description: A line., severity: defect, action: rework}
  stain: {description: A stain., severity: negligible, action: pass}
"""


def examples(noise: float, parts: int = 4, shots: int = 3) -> list[Example]:
    rng = np.random.default_rng(0)
    seen = Inspection(score=2, threshold=1, p_value=0, anomalous=True, expert_version="")
    found = []
    for c, kind in enumerate(KINDS):
        for i in range(parts * shots):
            vector = rng.normal(0, noise, 24).astype(np.float32)
            vector[c] += 1
            name = f"{kind}-{i % parts}"
            vectors = {TRUE: vector.tolist()}
            found.append(Example(kind, name, f"{name}-{i}", vectors, vectors, {TRUE: seen}))
    return found


def test_exemplars_and_queries_never_share_a_part() -> None:
    table = _Table(examples(0.1, parts=5), TRUE)
    splits = set()
    for seed in range(20):
        exemplars, queries = table.episode(seed, 5)
        taught, asked = set(table.parts[exemplars]), set(table.parts[queries])
        assert not taught & asked
        for kind in KINDS:
            assert (table.labels[exemplars] == kind).sum() == 5
            assert len({p for p in taught if p.startswith(kind)}) == 2
            assert len({p for p in asked if p.startswith(kind)}) == 3
        splits.add(tuple(sorted(taught)))
    assert len(splits) > 10


def test_clear_classes_are_named_and_strangers_refused() -> None:
    figures = measure(examples(0.05), TRUE, seeds=5)
    assert [row.shots for row in figures.naming] == [1, 3, 5]
    assert all(row.accuracy == 1 for row in figures.naming)
    assert figures.unknown is not None
    assert figures.unknown.auroc == 1
    assert figures.unknown.acted_on_mean < 0.2


def test_noise_is_chance() -> None:
    rng = np.random.default_rng(1)
    seen = Inspection(score=2, threshold=1, p_value=0, anomalous=True, expert_version="")
    found = []
    for kind in KINDS:
        for i in range(36):
            noise = {TRUE: rng.normal(size=64).astype(np.float32)}
            found.append(Example(kind, f"{kind}{i % 6}", "", noise, noise, {TRUE: seen}))
    figures = measure(found, TRUE, (5,), seeds=20)
    assert figures.naming[0].accuracy == pytest.approx(1 / 3, abs=0.08)
    assert figures.unknown is not None
    assert figures.unknown.auroc == pytest.approx(0.5, abs=0.08)


def test_more_examples_help() -> None:
    few, _, many = measure(examples(0.35, parts=8), TRUE, seeds=20).naming
    assert many.accuracy > few.accuracy + 0.05


def test_the_same_seeds_give_the_same_figures() -> None:
    assert measure(examples(0.3), TRUE, seeds=3) == measure(examples(0.3), TRUE, seeds=3)


def test_escapes_are_defects_that_pass(tmp_path: Path) -> None:
    path = tmp_path / "plate.yaml"
    path.write_text(POLICY)
    figures = measure(examples(0.9), TRUE, (5,), 5, load_policy(path))
    row = figures.naming[0]
    assert set(row.actions) == set(KINDS)
    assert all(sum(found.values()) == pytest.approx(1) for found in row.actions.values())
    passing = [row.actions[kind].get("pass", 0) for kind in ("hole", "line")]
    assert row.escapes == pytest.approx(np.mean(passing))
    assert 0 < row.escapes < 0.5


def test_a_class_of_one_part_is_refused() -> None:
    with pytest.raises(FewShotError, match="one part"):
        measure(examples(0.1, parts=1), TRUE)
    with pytest.raises(FewShotError, match="expert"):
        measure(examples(0.1), EXPERT)


def test_calibration_error_against_known_values() -> None:
    right = np.array([True] * 8 + [False] * 2)
    assert calibration_error(np.full(10, 0.8), right) == pytest.approx(0)
    assert calibration_error(np.full(10, 0.3), right) == pytest.approx(0.5)


def test_material_survives_the_disk(tmp_path: Path) -> None:
    before = examples(0.1)
    with Cache(tmp_path) as cache:
        cache.put("fewshot", "key", before)
        kept = cache.get("fewshot", "key", list[Example])
    assert kept is not None
    assert measure(kept, TRUE, seeds=2) == measure(before, TRUE, seeds=2)


def save_plates(root: Path) -> Path:
    """Normal plates, and four spoiled ones of each kind with masks, each of a part of its own."""
    rows = ["path,class,part"]
    for i in range(12):
        rows.append(_save(root, f"train/good/{i}.png", png(plate(i)), "good", f"g{i}"))
    for kind in KINDS:
        for i in range(4):
            image, mask = spoiled(kind, i)
            name = f"test/{kind}/{i}.png"
            rows.append(_save(root, name, png(image), kind, f"{kind}{i}"))
            drawn = np.repeat((mask * 255).astype(np.uint8)[:, :, None], 3, axis=2)
            _save(root, f"ground_truth/{kind}/{i}_mask.png", png(drawn), kind, "")
    (root / "parts.csv").write_text("\n".join(rows))
    return root


@pytest.mark.slow
def test_pictures_from_disk_to_figures(tmp_path: Path) -> None:
    dataset = load_dataset(save_plates(tmp_path))
    with Cache(tmp_path / "cache") as cache:
        found = gather(dataset, None, cache)
        asked: list[str] = []
        again = gather(dataset, None, cache, lambda stage, done, total: asked.append(stage))
    assert not asked
    figures: FewShotFigures = measure(found, TRUE, (1,), seeds=5)
    assert figures.naming[0].accuracy > 0.8
    assert figures == measure(again, TRUE, (1,), seeds=5)
    assert found[0].inspections[TRUE].region is not None


def _save(root: Path, name: str, body: bytes, label: str, part: str) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return f"{name},{label},{part}"
