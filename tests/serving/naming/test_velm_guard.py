"""Breaker, budget and retry plan, on a clock that the test turns."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.naming.completion import retry_after_s
from serving.naming.guard import CircuitBreaker, HourlyBudget, Spending, retry_delay_s
from serving.naming.settings import BreakerSettings, BudgetSettings, EndpointSettings


def breaker() -> CircuitBreaker:
    return CircuitBreaker(BreakerSettings(failures=3, open_s=10, open_most_s=25))


def test_opens_after_consecutive_failures_only() -> None:
    b = breaker()
    for _ in range(5):
        b.failed(0)
        b.failed(0)
        b.succeeded()
    assert b.admit(0)
    for _ in range(3):
        b.failed(1)
    assert not b.admit(1)
    assert not b.admit(10.9)
    assert b.wait_s(6) == pytest.approx(5)


def test_one_probe_decides() -> None:
    b = breaker()
    for _ in range(3):
        b.failed(0)
    assert b.admit(10)
    assert not b.admit(10)
    b.succeeded()
    assert b.admit(10)
    assert b.admit(10)


def test_a_failed_probe_doubles_the_pause_up_to_its_cap() -> None:
    b = breaker()
    for _ in range(3):
        b.failed(0)
    now = 0.0
    for pause in (20, 25, 25):
        now += b.wait_s(now)
        assert b.admit(now)
        b.failed(now)
        assert b.wait_s(now) == pytest.approx(pause)


def test_an_abandoned_probe_lets_another_through() -> None:
    b = breaker()
    for _ in range(3):
        b.failed(0)
    assert b.admit(10)
    b.abandoned()
    assert b.admit(10)


def test_budget_counts_reservations_and_forgets_after_an_hour() -> None:
    budget = HourlyBudget(BudgetSettings(tokens_per_h=1000))
    guess = Spending(400, 0)
    assert budget.reserve(guess, 0)
    assert budget.reserve(guess, 0)
    assert not budget.reserve(guess, 0)
    budget.settle(guess, Spending(500, 0), 1)
    budget.settle(guess, Spending(), 1)
    assert budget.spent(1).tokens == 500
    assert budget.reserve(guess, 2)
    assert not budget.reserve(guess, 2)
    budget.settle(guess, Spending(), 3)
    assert budget.spent(3600).tokens == 500
    assert budget.spent(3601).tokens == 0


def test_budget_in_money() -> None:
    budget = HourlyBudget(BudgetSettings(money_per_h=1.0))
    assert budget.reserve(Spending(10, 0.6), 0)
    assert not budget.reserve(Spending(10, 0.6), 0)


@given(
    st.integers(1, 10),
    st.floats(0, 10),
    st.none() | st.floats(0, 20),
    st.randoms(use_true_random=False),
)
def test_a_retry_fits_the_deadline_and_what_was_asked(
    attempt: int, remaining: float, after: float | None, rng: random.Random
) -> None:
    settings = EndpointSettings(
        base_url="http://127.0.0.1/v1", model="m", backoff_s=0.1, backoff_most_s=2.0
    )
    pause = retry_delay_s(attempt, remaining, after, settings, rng.random)
    if pause is None:
        return
    assert 0 <= pause < remaining
    assert pause >= (after or 0)
    if after is None:
        assert pause <= min(0.1 * 2 ** (attempt - 1), 2.0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after-ms": "x"}, None),
        ({"retry-after": "999999999999"}, 86_400.0),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers) == expected


def test_retry_after_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    seconds = retry_after_s({"retry-after": date})
    assert seconds is not None
    assert 25 < seconds <= 30


def test_a_date_is_read_by_the_endpoints_own_clock() -> None:
    """Ours may be hours away: the endpoint would not be asked for so long."""
    sent_at = datetime.now(UTC) + timedelta(hours=3)
    headers = {
        "date": format_datetime(sent_at, usegmt=True),
        "retry-after": format_datetime(sent_at + timedelta(seconds=2), usegmt=True),
    }
    assert retry_after_s(headers) == 2.0
    assert retry_after_s(headers | {"date": "yesterday"}) == pytest.approx(3 * 3600, abs=30)
