"""Resplits by part on scores whose truth is known."""

import numpy as np

from lab.benchmarks.expert import resplit_calibration


def test_resplits_show_what_holding_out_by_image_hides() -> None:
    rng = np.random.default_rng(0)
    scores = np.repeat(rng.normal(size=60), 5) + 0.05 * rng.normal(size=300)
    parts = np.repeat(np.arange(60), 5).astype(str).tolist()
    found = resplit_calibration(scores, parts, 0.05)
    assert (found["parts"], found["images"], found["repeats"]) == (60, 300, 40)
    assert found["by_part"]["mean"] <= 0.065
    assert found["by_image"]["mean"] > found["by_part"]["mean"]
    low, high = found["interval_by_part"]
    assert low <= found["by_part"]["mean"] <= high
