"""No part is given to two people, and none is anybody's for ever."""

from uuid import UUID

import pytest

from console.review import leases
from console.review.leases import ReviewLeases
from history.review_queue import WaitingFor

A, B, C = (UUID(int=number) for number in (1, 2, 3))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_part_is_one_person_s_until_its_time_is_over() -> None:
    clock = Clock()
    desk = ReviewLeases(clock)
    assert desk.take(A, "Ada", WaitingFor.HOLD)
    assert not desk.take(A, "Bea", WaitingFor.HOLD)
    assert desk.of(A, "Bea") is None
    assert desk.not_free(WaitingFor.AUDIT) == {A}
    clock.now += leases.LEASE_S + 1
    assert desk.not_free(WaitingFor.HOLD) == set()
    assert desk.of(A, "Ada") is not None, "nobody else has it: a slow verdict still counts"
    assert desk.take(A, "Bea", WaitingFor.HOLD)
    assert desk.of(A, "Ada") is None


def test_what_was_judged_is_not_given_again_for_the_same_reason() -> None:
    clock = Clock()
    desk = ReviewLeases(clock)
    desk.take(A, "Ada", WaitingFor.HOLD)
    lease = desk.of(A, "Ada")
    assert lease is not None
    assert not lease.is_blind
    desk.judged(lease)
    assert desk.of(A, "Ada") is None
    assert desk.not_free(WaitingFor.HOLD) == {A}
    assert desk.not_free(WaitingFor.SECOND) == set()
    desk.again(lease)
    assert desk.of(A, "Ada") is not None
    desk.release("Ada")
    assert desk.not_free(WaitingFor.HOLD) == set()
    desk.judged(lease)
    clock.now += leases.LEASE_S
    assert desk.not_free(WaitingFor.HOLD) == set(), "by then it is recorded"


def test_nobody_has_more_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MOST_OF_ONE", 2)
    monkeypatch.setattr(leases, "MOST", 3)
    desk = ReviewLeases(Clock())
    for part in (A, B, C):
        desk.take(part, "Ada", None)
    assert desk.not_free(WaitingFor.HOLD) == {B, C}
    for number in range(10, 20):
        desk.take(UUID(int=number), f"p{number}", None)
    assert len(desk.not_free(WaitingFor.HOLD)) == 3
    desk.release("p19", [A])
    assert UUID(int=19) in desk.not_free(WaitingFor.HOLD)


def test_who_chose_a_part_is_not_blind() -> None:
    desk = ReviewLeases(Clock())
    for reason, blind in ((None, False), (WaitingFor.AUDIT, True), (WaitingFor.SECOND, True)):
        desk.take(A, "Ada", reason)
        lease = desk.of(A, "Ada")
        assert lease is not None
        assert lease.is_blind is blind
