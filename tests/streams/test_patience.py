"""When a message is given up, and when its backend is waited for."""

import pytest

from streams.errors import UnavailableError
from streams.failures import Cause, failed
from streams.patience import Tries


def test_a_backend_that_serves_nobody_is_waited_for() -> None:
    tries = Tries(most=3, served=7)
    assert not any(tries.failed(UnavailableError("away"), 7) for _ in range(1000))
    assert tries.attempts == 1000


def test_only_failures_beside_the_success_of_others_count() -> None:
    tries = Tries(most=3)
    given_up = [tries.failed(UnavailableError("away"), served) for served in (1, 1, 2, 2, 2, 7)]
    assert given_up == [False, False, False, False, False, True]


@pytest.mark.parametrize("cause", [Cause.TOO_LARGE, Cause.INVALID])
def test_a_refusal_is_believed_at_once(cause: Cause) -> None:
    assert Tries(most=100).failed(failed(cause, "no"), 0)


def test_a_defect_is_given_up_even_where_nothing_gets_through() -> None:
    tries = Tries(most=6)
    assert [tries.failed(KeyError("column"), 0) for _ in range(3)] == [False, False, True]


def test_a_missing_right_is_the_messages_own_only_where_others_get_through() -> None:
    refused = failed(Cause.NOT_ALLOWED, "access denied")
    tries = Tries(most=3)
    assert not any(tries.failed(refused, 0) for _ in range(1000)), "the whole store refuses"
    assert [tries.failed(refused, served) for served in (1, 2, 3)] == [False, False, True]


def test_a_store_without_room_is_waited_for_though_small_ones_still_fit() -> None:
    tries = Tries(most=3)
    assert not any(tries.failed(failed(Cause.FULL, "quota"), served) for served in range(1000))
