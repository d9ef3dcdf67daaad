"""Training says what a threshold costs, and which parts set it."""

import numpy as np
import pytest

from serving.experts.calibration import calibrate
from serving.experts.sensitivity import Evidence, sensitivity_report, sensitivity_warning


def evidence(odd_one: float) -> Evidence:
    """40 parts of two photographs, one of them odd; scratches at 3, noise at 30."""
    normal = np.tile(np.linspace(0, 1, 40), 2)
    groups = [f"part-{i % 40:02d}" for i in range(80)]
    normal[[20, 60]] = odd_one - 1, odd_one
    files = [f"{g}-{i // 40}.png" for i, g in enumerate(groups)]
    odd = np.concatenate([np.full(10, 3.0), np.full(10, 30.0)])
    return Evidence(normal, groups, files, odd, ["scratch"] * 10 + ["noise"] * 10)


def test_one_odd_part_sets_the_threshold_and_is_named() -> None:
    given = evidence(9.0)
    calibration = calibrate(given.normal, given.groups, 0.025)
    found = sensitivity_report(given, calibration)
    assert found["by_kind"] == {"noise": 1.0, "scratch": 0.0}
    assert found["local"] == 0.0
    assert found["set_by"] == ["part-20"]
    assert found["oddest"][0]["file"] == "part-20-1.png"
    assert found["without_them"]["local"] == 1.0
    (warning,) = sensitivity_warning(found, calibration)
    assert "only 0%" in warning
    assert "part-20" in warning
    assert "--rate 0.1 100%" in warning


def test_a_threshold_that_finds_enough_warns_of_nothing() -> None:
    given = evidence(1.5)
    calibration = calibrate(given.normal, given.groups, 0.025)
    found = sensitivity_report(given, calibration)
    assert found["local"] == 1.0
    assert sensitivity_warning(found, calibration) == []


def test_the_trade_off_rises_with_the_rate() -> None:
    rng = np.random.default_rng(1)
    groups = [str(i) for i in range(300)]
    odd = rng.normal(2, 1, 200)
    given = Evidence(rng.normal(0, 1, 300), groups, groups, odd, ["spot"] * 200)
    found = sensitivity_report(given, calibrate(given.normal, groups, 0.01))
    shares = [row["local"] for row in found["at_rates"]]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]
    assert found["at_rates"][0]["local"] == pytest.approx(found["local"])
