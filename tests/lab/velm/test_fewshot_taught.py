"""Queries outlined by an expert that was taught the exemplars, and by nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lab.datasets.folders import Dataset, load_dataset
from lab.velm.answers_cache import Cache
from lab.velm.fewshot import measure
from lab.velm.fewshot_material import TAUGHT, FewShotError, gather
from lab.velm.fewshot_taught import TaughtRegions
from serving.experts.expert import Expert
from serving.experts.training import TrainOptions, train
from tests.lab.velm.test_fewshot import save_plates
from tests.serving.naming.pictures import KINDS

OPTIONS = TrainOptions(size=96, synthetic=30, threads=1, coreset=32, calibration_folds=3)


def silent(stage: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(save_plates(tmp_path_factory.mktemp("plates")))


@pytest.fixture(scope="module")
def expert(plates: Dataset) -> Expert:
    trained = train("plate", [s.path for s in plates.train], OPTIONS)
    trained.version = "plates"
    return trained


def test_an_expert_that_cannot_be_taught_is_refused(plates: Dataset, tmp_path: Path) -> None:
    with Cache(tmp_path) as cache, pytest.raises(FewShotError, match="training set"):
        TaughtRegions(plates, None, cache, silent)


@pytest.mark.slow
def test_the_expert_learns_from_exemplars_and_never_from_queries(
    plates: Dataset, expert: Expert, tmp_path: Path
) -> None:
    exemplars = np.array([0, 4, 8])
    queries = np.array([1, 5, 9])
    others = [s for i, s in enumerate(s for s in plates.test if s.anomalous) if i not in exemplars]
    hidden = {s.path for s in others}
    blind = replace(
        plates,
        test=tuple(
            replace(s, label="?", mask=None) if s.path in hidden else s for s in plates.test
        ),
    )
    with Cache(tmp_path) as cache:
        regions = TaughtRegions(plates, expert, cache, silent)
        known = regions.inspections(exemplars, queries)
        again = TaughtRegions(plates, expert, cache, silent).inspections(exemplars, queries)
        unseen = TaughtRegions(blind, expert, cache, silent).inspections(exemplars, queries)
        fewer = regions.inspections(exemplars[:1], queries)
    assert known == again == unseen
    assert set(known) == set(queries.tolist())
    assert all(inspection.region is not None for inspection in known.values())
    assert known != fewer


@pytest.mark.slow
def test_figures_of_taught_regions(plates: Dataset, expert: Expert, tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        examples = gather(plates, expert, cache)
        regions = TaughtRegions(plates, expert, cache, silent)
        figures = measure(examples, TAUGHT, (1,), 2, taught=regions)
    assert figures.masks == TAUGHT
    assert set(figures.naming[0].by_class) == set(KINDS)
    assert figures.naming[0].accuracy > 0.6
