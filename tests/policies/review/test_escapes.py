"""Rates of escapes: exact for one share, weighed for several, honest where nobody looked."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from policies.review.escapes import escape_rate, rates_by, share_interval


@dataclass(frozen=True)
class Parts:
    passed: int
    share: float | None = 0.1
    reviewed: int = 0
    escapes: int = 0
    drawn: int = 0
    undecided: int = 0
    without_picture: int = 0
    class_name: str = ""


def test_parts_drawn_at_one_share_give_clopper_and_pearson_over_all_of_them() -> None:
    """42 of 50 and its interval stand in AIAG's manual (MSA, 4th edition, attribute study)."""
    found = escape_rate([Parts(600, reviewed=30, escapes=25), Parts(400, reviewed=20, escapes=17)])
    assert found.rate == pytest.approx(0.84)
    assert (round(found.low, 2), round(found.high, 2)) == (0.71, 0.93)
    assert (found.passed, found.reviewed, found.escapes, found.strata) == (1000, 50, 42, 1)


def test_no_escape_in_59_reviews_is_less_than_five_percent() -> None:
    found = escape_rate([Parts(5000, reviewed=59)])
    assert (found.rate, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 59))


def test_shares_that_differ_weigh_by_the_parts_that_passed_and_not_by_the_reviews() -> None:
    often, seldom = Parts(100, 0.5, 50, 10), Parts(900, 0.1, 90, 0)
    found = escape_rate([often, seldom])
    assert found.rate == pytest.approx(0.1 * 0.2)  # the reviews alone would say 10 of 140
    low, high = share_interval(10, 50, 0.025)
    assert found.low == pytest.approx(0.1 * low)
    assert found.high == pytest.approx(0.1 * high + 0.9 * share_interval(0, 90, 0.025)[1])
    assert found.strata == 2


def test_parts_that_nobody_reviewed_may_be_anything() -> None:
    found = escape_rate([Parts(500, 0.5, 250, 0), Parts(500, 0.1)])
    assert found.rate == 0.0
    assert found.high > 0.5
    nothing = escape_rate([Parts(500, 0.1)])
    assert (nothing.rate, nothing.low, nothing.high) == (None, 0.0, 1.0)
    assert escape_rate([]).high == 1.0


def test_what_could_not_be_drawn_is_said_and_in_no_rate() -> None:
    outside = [Parts(70, 0.0), Parts(30, None)]
    found = escape_rate([*outside, Parts(10, 1.0, 8, 1, undecided=1, without_picture=1, drawn=10)])
    assert (found.passed, found.not_audited, found.rate) == (10, 100, 1 / 8)
    assert (found.undecided, found.without_picture, found.drawn) == (1, 1, 10)
    assert rates_by(outside, lambda parts: parts.class_name) == {}


def test_rates_are_told_apart_by_name() -> None:
    counts = [Parts(10, 1.0, 10, 1, class_name="water"), Parts(90, 1.0, 90, 0)]
    found = rates_by(counts, lambda parts: parts.class_name)
    assert [(name, rate.rate) for name, rate in found.items()] == [("", 0.0), ("water", 0.1)]


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """400 samples of parts at two shares, of which 2 and 20 % are defects."""
    chance = random.Random(1)
    truth, held = (900 * 0.02 + 100 * 0.2) / 1000, 0
    for _ in range(400):
        strata = []
        for passed, share, rate in ((900, 0.1, 0.02), (100, 0.5, 0.2)):
            drawn = sum(chance.random() < share for _ in range(passed))
            escapes = sum(chance.random() < rate for _ in range(drawn))
            strata.append(Parts(passed, share, drawn, escapes))
        found = escape_rate(strata)
        held += found.low <= truth <= found.high
    assert held >= 0.95 * 400


@given(st.integers(1, 2_000_000), st.floats(0, 1), st.floats(0.001, 0.1))
def test_an_interval_is_clopper_and_pearsons_at_any_count(
    trials: int, share: float, level: float
) -> None:
    count = round(share * trials)
    low, high = share_interval(count, trials, level)
    exact_low = stats.beta.ppf(level / 2, count, trials - count + 1) if count else 0.0
    exact_high = stats.beta.ppf(1 - level / 2, count + 1, trials - count) if count < trials else 1.0
    assert low <= count / trials <= high
    assert low == pytest.approx(exact_low, abs=0.03 * (exact_high - exact_low) + 1e-9)
    assert high == pytest.approx(exact_high, abs=0.03 * (exact_high - exact_low) + 1e-9)
