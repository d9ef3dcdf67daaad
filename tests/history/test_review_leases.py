"""No part is given to two people, at one console or at two, and none is anybody's for ever."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from history import review_leases
from history.review_leases import ReviewLeases
from history.review_queue import WaitingFor

pytestmark = pytest.mark.asyncio
A, B, C = (UUID(int=number) for number in (1, 2, 3))
HOLD, AUDIT, SECOND = WaitingFor.HOLD, WaitingFor.AUDIT, WaitingFor.SECOND


@pytest_asyncio.fixture
async def here(url: str) -> AsyncIterator[ReviewLeases]:
    made = ReviewLeases(url)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def there(url: str) -> AsyncIterator[ReviewLeases]:
    """Of another console over the same database."""
    made = ReviewLeases(url)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def over(url: str) -> AsyncIterator[ReviewLeases]:
    """One whose leases end at once."""
    made = ReviewLeases(url, lease_s=0.0)
    yield made
    await made.close()


async def test_a_part_is_one_person_s_at_every_console(
    here: ReviewLeases, there: ReviewLeases
) -> None:
    assert await here.take([A, B], "Ada", HOLD) == {A, B}
    assert await there.take([A, C], "Bea", HOLD) == {C}
    assert await there.of(A, "Bea") is None
    assert await there.not_free(AUDIT) == {A, B, C}
    assert await there.take([A], "Ada", AUDIT) == {A}, "the same person at another screen"
    lease = await here.of(A, "Ada")
    assert lease is not None
    assert lease.waits_for is AUDIT


async def test_after_its_time_it_is_free_and_a_slow_verdict_still_counts(
    here: ReviewLeases, over: ReviewLeases
) -> None:
    await over.take([A], "Ada", HOLD)
    assert await here.not_free(HOLD) == set()
    assert await here.of(A, "Ada") is not None, "nobody else has it"
    assert await here.take([A], "Bea", HOLD) == {A}
    assert await here.of(A, "Ada") is None


async def test_two_who_ask_at_once_are_not_given_the_same(
    here: ReviewLeases, there: ReviewLeases
) -> None:
    parts = [UUID(int=n) for n in range(20)]
    both = await asyncio.gather(
        *(
            leases.take(order, who, HOLD)
            for leases, who, order in ((here, "Ada", parts), (there, "Bea", parts[::-1]))
        )
    )
    assert both[0] | both[1] == set(parts)
    assert not both[0] & both[1]


async def test_what_was_judged_is_not_given_again_for_the_same_reason(
    here: ReviewLeases, there: ReviewLeases, over: ReviewLeases
) -> None:
    await here.take([A], "Ada", HOLD)
    lease = await here.of(A, "Ada")
    assert lease is not None
    assert not lease.is_blind
    await here.judged(lease)
    assert await here.of(A, "Ada") is None
    assert await there.not_free(HOLD) == {A}
    assert await there.not_free(SECOND) == set()
    await here.again(lease)
    assert await there.of(A, "Ada") is not None
    await there.release("Ada")
    assert await here.not_free(HOLD) == set()
    await over.judged(lease)
    assert await here.not_free(HOLD) == set(), "by then it is recorded"


async def test_nobody_has_more_than_a_few(
    here: ReviewLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_leases, "MOST_OF_ONE", 2)
    for part in (A, B, C):
        assert await here.take([part], "Ada", None) == {part}
    assert await here.not_free(HOLD) == {B, C}
    await here.release("Bea", [B])
    await here.release("Ada", [C])
    assert await here.not_free(HOLD) == {B}
    assert await here.take([], "Ada", None) == set()


async def test_who_chose_a_part_is_not_blind(here: ReviewLeases) -> None:
    for reason, blind in ((None, False), (AUDIT, True), (SECOND, True)):
        await here.take([A], "Ada", reason)
        lease = await here.of(A, "Ada")
        assert lease is not None
        assert (lease.waits_for, lease.is_blind) == (reason, blind)


async def test_what_ended_long_ago_is_forgotten(
    over: ReviewLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_leases, "_FORGOTTEN", review_leases.timedelta(0))
    await over.take([A], "Ada", HOLD)
    await over.release("Bea")
    assert await over.of(A, "Ada") is None
