"""One small expert, trained once per session."""

from pathlib import Path

import pytest

from serving.experts.composed import ComposedExpert
from serving.experts.training import TrainOptions, train
from tests.serving.experts.pictures import SIDE, surface, write

OPTIONS = TrainOptions(size=SIDE, synthetic=40, threads=1, coreset=64, false_alarm_rate=0.1)


@pytest.fixture(scope="session")
def normals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(tmp_path_factory.mktemp("normals"), [surface(i) for i in range(30)])


@pytest.fixture(scope="session")
def trained(normals: list[Path]) -> ComposedExpert:
    return train("part", normals, OPTIONS)
