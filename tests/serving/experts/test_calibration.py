"""Conformal guarantees, measured by simulation."""

import numpy as np
import pytest

from serving.experts.calibration import Reference, calibrate


def test_the_rate_asked_for_is_the_rate_seen() -> None:
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(300):
        found = calibrate(rng.normal(size=199), [str(i) for i in range(199)], 0.05)
        seen.append(np.mean(rng.normal(size=500) > found.threshold))
    assert np.mean(seen) == pytest.approx(0.05, abs=0.005)


def test_parts_that_share_photographs_need_groups() -> None:
    """Six photographs per part: by image the threshold is too low, by part it is what was asked."""
    rng = np.random.default_rng(1)
    by_part, by_image = [], []
    for _ in range(300):
        part = rng.normal(size=40)
        scores = np.repeat(part, 6) + 0.1 * rng.normal(size=240)
        names = np.repeat(np.arange(40), 6).astype(str).tolist()
        fresh = rng.normal(size=300) + 0.1 * rng.normal(size=300)
        by_part.append(np.mean(fresh > calibrate(scores, names, 0.05).threshold))
        images = [str(i) for i in range(240)]
        by_image.append(np.mean(fresh > calibrate(scores, images, 0.05).threshold))
    assert np.mean(by_part) == pytest.approx(0.05, abs=0.006)
    assert np.mean(by_image) > np.mean(by_part)


@pytest.mark.parametrize("alike", [0.0, 0.7, 1.0])
def test_few_parts_get_what_was_asked_however_alike_their_photographs_are(alike: float) -> None:
    """One to eleven photographs a part, 48 parts: the mean rate over redraws is the one asked."""
    rng = np.random.default_rng(4)
    seen = []
    for _ in range(300):
        sizes = rng.integers(1, 12, 48)
        names = np.repeat(np.arange(48), sizes)
        scores = np.sqrt(alike) * rng.normal(size=48)[names] + np.sqrt(1 - alike) * rng.normal(
            size=len(names)
        )
        found = calibrate(scores, names.astype(str).tolist(), 0.05)
        seen.append(np.mean(rng.normal(size=2000) > found.threshold))
    assert np.mean(seen) == pytest.approx(0.05, abs=0.006)


def test_too_few_groups_give_the_smallest_attainable_rate_and_say_so() -> None:
    found = calibrate(np.arange(20.0), [str(i // 2) for i in range(20)], 0.01)
    assert found.groups == 10
    assert found.rate == pytest.approx(1 / 11)
    assert 18.0 < found.threshold <= 19.0


def test_p_values_and_threshold_agree() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=300)
    names = [str(i // 3) for i in range(300)]
    found = calibrate(scores, names, 0.03)
    assert (np.diff(found.scores) >= 0).all()
    for value in np.linspace(-4, 4, 200):
        if found.p_value(value) <= 0.03:
            assert value > found.threshold
        if value > found.threshold:
            assert found.p_value(value) <= 0.03 + 1 / 101
    assert found.p_value(99.0) == pytest.approx(1 / 101)
    assert found.p_value(-99.0) == 1.0


def test_surprise_never_falls_and_goes_on_beyond_the_reference() -> None:
    reference = np.sort(np.random.default_rng(3).normal(size=200))
    values = Reference.of(reference).surprise(np.linspace(-5, 12, 400))
    assert (np.diff(values) >= 0).all()
    assert values[-1] > 10
