"""A picture out of focus, or exposed otherwise than the product's normals, is no picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.cameras import open_camera
from connectors.cameras.checked import CheckedCamera
from connectors.cameras.health import PictureFigures, figures_of
from connectors.cameras.measuring import measured, read_grey, read_limits
from connectors.cameras.normals import NormalLimits, gain_of, limits_from
from connectors.cameras.normals_trial import try_normals
from connectors.errors import CaptureError, NormalsError
from streams.ports import Trigger
from tests.connectors.test_live_cameras import Showing

PRODUCT = Trigger(1, 1, "p", "", " tile\0", 0, 1000)
"""Padded, as controllers send names."""


def part(seed: int, gain: float = 1.0, blur: float = 0.0) -> np.ndarray:
    """A textured part, as bright as ``gain`` says."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(60, 150, (12, 12)).astype(np.float32), (96, 96))
    pixels = coarse + rng.normal(0, 14, (96, 96)).astype(np.float32)
    if blur:
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    return np.asarray(np.clip(pixels * gain, 0, 255), np.uint8)


def saved(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{n:03d}.png" for n in range(count)]
    for n, path in enumerate(paths):
        cv2.imwrite(str(path), part(n))
    return paths


LIMITS = limits_from([figures_of(part(n)) for n in range(40)])


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 3), st.floats(0, 1), st.integers(20, 60))
def test_no_normal_is_ever_beyond_the_limits_that_it_made(
    seed: int, spread: float, detail: float, count: int
) -> None:
    """Normals that are alike or differ by orders of magnitude, dark, white or without detail."""
    rng = np.random.default_rng(seed)
    normals = []
    for _ in range(count):
        levels = np.sort(np.clip(rng.uniform(0, 1, 9) * np.exp(rng.normal(0, spread)), 0, 1))
        fine, coarse = detail * np.exp(rng.normal(0, spread, 2))
        shown = tuple(float(level) for level in levels)
        normals.append(PictureFigures(9, 9, 0.1, 0.5, 0.9, shown, float(fine), float(coarse)))
    limits = limits_from(normals)
    assert [limits.fault_of(found) for found in normals] == [""] * len(normals)
    assert NormalLimits.from_json(limits.to_json()) == limits


@settings(deadline=None, max_examples=25)
@given(st.integers(100, 10_000), st.floats(0.98, 1.02))
def test_other_normals_pass_and_spoilt_ones_are_named(seed: int, gain: float) -> None:
    assert LIMITS.fault_of(figures_of(part(seed, gain))) == ""
    assert "out of focus" in LIMITS.fault_of(figures_of(part(seed, blur=2.5)))
    assert "another exposure" in LIMITS.fault_of(figures_of(part(seed, 0.5)))
    assert "times as bright" in LIMITS.fault_of(figures_of(part(seed, 1.6)))


def test_a_defect_is_no_fault_of_the_camera() -> None:
    for shade in (0, 255):
        pixels = part(77)
        pixels[30:50, 20:60] = shade
        assert LIMITS.fault_of(figures_of(pixels)) == ""


def test_a_dark_ground_tells_no_exposure_and_a_part_on_it_does() -> None:
    assert gain_of((0.0,) * 9, (0.01,) * 9) is None
    ground, lit = (0.01,) * 6, (0.4, 0.5, 0.6)
    assert gain_of((*ground, 0.2, 0.25, 0.3), (*ground, *lit)) == pytest.approx(0.51, abs=0.01)


def test_the_depth_of_a_picture_does_not_change_its_figures() -> None:
    eight = part(5)
    sixteen = eight.astype(np.uint16) << 8
    assert figures_of(sixteen).focus == pytest.approx(figures_of(eight).focus, rel=0.01)
    assert measured(b"no picture") is None


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["tile/top", "tile", "*"])
async def test_the_refused_picture_goes_with_the_reason(key: str) -> None:
    trigger = Trigger(**{**vars(PRODUCT), "shot": "top"})
    shown = [part(200), part(201, blur=3), part(202, gain=0.4), part(203)]
    data = [cv2.imencode(".png", pixels)[1].tobytes() for pixels in shown]
    camera = CheckedCamera(Showing(list(shown)), {key: LIMITS, "other": LIMITS})
    assert (await camera.capture(trigger)).data == data[0]
    for number, why in ((1, "out of focus"), (2, "another exposure")):
        with pytest.raises(CaptureError, match=f"the picture is {why}") as caught:
            await camera.capture(trigger)
        assert caught.value.picture is not None
        assert caught.value.picture.data == data[number]
    assert (await camera.capture(trigger)).data == data[3]


@pytest.mark.asyncio
async def test_a_product_without_limits_is_not_compared() -> None:
    camera = CheckedCamera(Showing([part(1, blur=3)]), {"another": LIMITS})
    assert (await camera.capture(PRODUCT)).data


@pytest.mark.asyncio
async def test_files_are_compared_where_limits_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), part(1, blur=3))
    camera = open_camera(f"folder:{tmp_path}", normals={"tile": LIMITS})
    await camera.open()
    with pytest.raises(CaptureError, match="out of focus"):
        await camera.capture(PRODUCT)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "levels": []}'])
def test_what_holds_no_limits_is_named_with_what_to_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "n.json"
    with pytest.raises(NormalsError, match=r"n\.json.*andon camera normals"):
        read_limits(path)
    path.write_text(text)
    with pytest.raises(NormalsError, match=r"n\.json.*andon camera normals"):
        read_limits(path)


def test_limits_are_tried_on_the_normals_that_did_not_make_them(tmp_path: Path) -> None:
    limits, trial = try_normals(saved(tmp_path, 60), lambda *_: None)
    assert limits.pictures == 60
    assert (trial.tried, trial.false_alarms) == (30, 0)
    assert trial.found["blurred by 4 pixels"] == trial.found["exposed at 0.5"] == 1.0


def test_too_few_normals_and_what_is_no_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NormalsError, match="19 normals; at least 20"):
        try_normals(saved(tmp_path, 19), lambda *_: None)
    (tmp_path / "x.png").write_bytes(b"x")
    with pytest.raises(NormalsError, match=r"x\.png: not a picture"):
        try_normals([tmp_path / "x.png"], lambda *_: None)


@pytest.mark.slow
def test_no_normal_of_the_demo_is_a_fault_of_the_camera() -> None:
    """Limits of the normals that train, on all that arrive as parts, defects too."""
    from lab.datasets.textile import textile_dataset

    textiles = textile_dataset()
    limits, trial = try_normals([sample.path for sample in textiles.train], lambda *_: None)
    arriving = [sample.path for sample in textiles.test]
    faults = [limits.fault_of(figures_of(read_grey(path))) for path in arriving]
    assert [fault for fault in faults if fault] == []
    assert trial.false_alarms == 0
    assert trial.found["blurred by 2 pixels"] > 0.95
