"""The bounds are the exact ones, and tests in a sequence keep their promise."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from policies.review.bounds import (
    binomial_tail,
    finite_tail,
    more_trials,
    reject_in_sequence,
    trials_to_certify,
    upper_bound,
)

SHARES = st.floats(0.001, 0.999)


@given(st.integers(0, 400), st.integers(0, 400), SHARES)
def test_the_tail_is_scipys(count: int, extra: int, share: float) -> None:
    trials = count + extra
    assert binomial_tail(count, trials, share) == pytest.approx(
        stats.binom.cdf(count, trials, share), abs=1e-9
    )


@given(st.integers(0, 60), st.integers(1, 400), st.floats(0.001, 0.4))
def test_the_upper_bound_is_clopper_and_pearsons(count: int, extra: int, level: float) -> None:
    trials = count + extra
    expected = stats.beta.ppf(1 - level, count + 1, trials - count)
    assert upper_bound(count, trials, level) == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 40), st.integers(1, 80), st.integers(1, 80), st.floats(0.01, 0.5))
def test_a_finite_promise_is_broken_no_more_often_than_its_tail_says(
    total: int, trials: int, following: int, share: float
) -> None:
    """The exact chance that a number of escapes is accepted and exceeded by those that follow."""
    total = min(total, trials + following)
    level = 0.05
    accepted = [k for k in range(trials + 1) if finite_tail(k, trials, following, share) <= level]
    allowed = int(share * following + 1e-9)
    broken = [k for k in accepted if total - k > allowed]
    chance = sum(stats.hypergeom.pmf(k, trials + following, total, trials) for k in broken)
    assert chance <= level + 1e-9


def test_a_promise_about_ever_more_parts_becomes_the_one_about_the_probability() -> None:
    assert finite_tail(3, 150, 2_000_000, 0.05) == pytest.approx(
        binomial_tail(3, 150, 0.05), rel=1e-3
    )


@given(st.integers(0, 20), st.floats(0.01, 0.4), st.floats(0.001, 0.2))
def test_the_fewest_trials_are_the_fewest(count: int, limit: float, level: float) -> None:
    fewest = trials_to_certify(count, limit, level)
    assert binomial_tail(count, fewest, limit) <= level
    assert fewest == count + 1 or binomial_tail(count, fewest - 1, limit) > level


@given(st.integers(0, 10), st.integers(1, 300))
def test_what_is_still_needed_is_enough(count: int, extra: int) -> None:
    trials = count + extra
    more = more_trials(count, trials, 0.1, 0.05)
    if more is None:
        assert count / trials > 0.09
    else:
        expected = -(-count * (trials + more) // trials)
        assert binomial_tail(expected, trials + more, 0.1) <= 0.05


@pytest.mark.parametrize("true_ones", [0, 1, 3, 6])
def test_true_hypotheses_are_rejected_as_seldom_as_promised(true_ones: int) -> None:
    """Three chains of two; the last ``true_ones`` hypotheses in a fixed order are true."""
    rng = random.Random(7)
    wrong, rounds = 0, 4000
    places = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (2, 1)]
    true = set(places[6 - true_ones :])
    for _ in range(rounds):
        chains = [
            [rng.random() if (i, j) in true else rng.random() * 1e-3 for j in range(2)]
            for i in range(3)
        ]
        found = reject_in_sequence(chains, 0.1)
        wrong += any(j < found[i][0] for i, j in true)
    assert wrong / rounds <= 0.1 + 3 * (0.1 * 0.9 / rounds) ** 0.5
    assert true_ones == 0 or wrong > 0


def test_a_share_that_is_left_goes_to_the_others() -> None:
    assert reject_in_sequence([[0.02], [0.03, 0.5]], 0.05) == [(1, 0.025), (1, 0.05)]
    assert reject_in_sequence([], 0.05) == []
