"""What a rate costs and finds: intervals, redraws, and the rate that is cheapest."""

import numpy as np
import pytest

from serving.experts.tradeoff import (
    FoundRow,
    ShareInterval,
    StopPrices,
    interval,
    recommend,
    redraw_false_alarms,
    share_by_part,
)


def row(rate: float, found: float) -> FoundRow:
    share: ShareInterval = {"share": found, "low": found, "high": found}
    return {
        "asked_rate": rate,
        "rate": rate,
        "threshold": 0.0,
        "false_alarms": {"share": rate, "low": rate, "high": rate},
        "classes": {"crack": share},
        "before": {"crack": share},
    }


ROWS = [row(0.01, 0.3), row(0.05, 0.7), row(0.2, 0.8)]


@pytest.mark.parametrize(("escape", "best"), [(1.0, 0.01), (100.0, 0.05), (10_000.0, 0.2)])
def test_the_dearer_an_escape_the_higher_the_rate(escape: float, best: float) -> None:
    prices = StopPrices(escape, false_stop=3.0, look=1.0, defect_share=0.02)
    rate, costs = recommend(ROWS, prices)
    assert rate == best
    assert costs[rate] == min(costs.values())


def test_each_part_weighs_one() -> None:
    flags = np.array([True, True, True, True, False, False])
    assert share_by_part(flags, np.array(["a"] * 4 + ["b", "c"])) == pytest.approx(1 / 3)


def test_an_interval_holds_the_share_and_narrows() -> None:
    few, many = interval(0.6, 5), interval(0.6, 500)
    for found in (few, many):
        assert found["low"] < 0.6 < found["high"]
    assert few["low"] < many["low"] < many["high"] < few["high"]
    assert interval(0.0, 0) == {"share": 0.0, "low": 0.0, "high": 1.0}


def test_redraws_show_the_rate_and_how_far_one_plant_may_be_off() -> None:
    rng = np.random.default_rng(0)
    groups = [str(i // 3) for i in range(300)]
    found = redraw_false_alarms(rng.normal(size=300), groups, 0.05)
    assert found["share"] == pytest.approx(0.05, abs=0.02)
    assert found["low"] < found["share"] < found["high"]
