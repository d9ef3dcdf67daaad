"""The contract of ``serving.experts.expert.Expert``: both kinds that the line runs keep it."""

from pathlib import Path

import numpy as np
import pytest

from serving.experts.artifact import load_expert, save_artifact
from serving.experts.ddad.options import DdadOptions
from serving.experts.expert import Expert
from serving.experts.options import TrainOptions
from serving.experts.training import train
from tests.serving.experts.pictures import SIDE, scratched, surface, write

SHARED = TrainOptions(size=SIDE, synthetic=20, threads=1, coreset=32, false_alarm_rate=0.1)
QUICK = DdadOptions(
    epochs=1, start=50, skip=50, guidance=(2.0,), pixel_weight=(1.0,), adapt_epochs=0, trial=8
)
OPTIONS = {
    "patchcore": SHARED,
    "ddad": TrainOptions(
        expert="ddad", size=SIDE, device="cpu", false_alarm_rate=0.3, threads=1, ddad=QUICK
    ),
}
PICTURES = [surface(100), scratched(101), surface(102, 150), scratched(103, 80)]


@pytest.fixture(scope="module", params=OPTIONS)
def expert(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Expert:
    """Trained for a moment, saved and loaded: as the line gets it."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    normals = write(folder / "normals", [surface(i) for i in range(16)])
    digest = save_artifact(train("part", normals, OPTIONS[request.param]), folder)
    loaded = load_expert(folder / "part" / digest, precision="f32", device="cpu", threads=1)
    assert (loaded.name, loaded.product, loaded.version) == (request.param, "part", digest)
    return loaded


def test_one_answer_for_each_image_in_order(expert: Expert) -> None:
    assert isinstance(expert, Expert)
    found = expert.score(PICTURES)
    assert [(s.image_height, s.image_width) for s in found] == [p.shape[:2] for p in PICTURES]
    assert expert.score([]) == []


def test_a_score_depends_on_no_other_image(expert: Expert) -> None:
    together = [s.score for s in expert.score(PICTURES)]
    alone = [expert.score([picture])[0].score for picture in PICTURES]
    turned = [s.score for s in expert.score(PICTURES[::-1])][::-1]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    np.testing.assert_allclose(together, turned, rtol=1e-6)


def test_the_threshold_decides_and_the_p_value_agrees(expert: Expert) -> None:
    found = expert.score([*PICTURES, np.full((SIDE, SIDE, 3), 255, np.uint8)])
    assert len({s.threshold for s in found}) == 1
    for one in found:
        assert one.anomalous == (one.score > one.threshold)
        assert 0 < one.p_value <= 1
    ranked = sorted(found, key=lambda s: s.score)
    assert [s.p_value for s in ranked] == sorted((s.p_value for s in found), reverse=True)


def test_maps_and_regions_come_when_asked_for(expert: Expert) -> None:
    shown, bare = expert.score(PICTURES), expert.score(PICTURES, maps=False)
    for one, without in zip(shown, bare, strict=True):
        assert without.score == pytest.approx(one.score, rel=1e-6)
        assert (without.anomaly_map, without.region) == (None, None)
        assert one.full_map().shape == (one.image_height, one.image_width)
        assert (one.region is not None) == one.anomalous
        if one.region is not None:
            assert one.region.area_px > 0
            assert one.region.contours()
