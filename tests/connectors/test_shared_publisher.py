"""Several connections as one: what waits travels together, and what is stuck stops only itself."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from connectors.gateway import shared_publisher
from connectors.gateway.shared_publisher import SharedPublisher
from streams.envelope import Message
from streams.errors import UnavailableError
from tests.waiting import until

SIZE = 1000


class Connection:
    """Takes each message when it is let through."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.go = asyncio.Event()
        self.fails = False

    async def send(self, topic: str, message: Message) -> None:
        self.began.append(len(message.value))
        await self.go.wait()
        if self.fails:
            raise UnavailableError("away")


def shared(count: int, trip_s: float = 0.0, together: int = 4 << 20) -> SharedPublisher:
    return SharedPublisher(
        [Connection() for _ in range(count)], lambda: trip_s, together_bytes=together
    )


def connections(publisher: SharedPublisher) -> list[Connection]:
    return [one for one in publisher.publishers if isinstance(one, Connection)]


def let_go(publisher: SharedPublisher) -> None:
    for one in connections(publisher):
        one.go.set()


def sends(
    publisher: SharedPublisher, count: int, size: int = SIZE
) -> "Sequence[asyncio.Task[None]]":
    message = Message(b"key", bytes(size), ())
    return [asyncio.create_task(publisher.send("t", message)) for _ in range(count)]


def began(publisher: SharedPublisher) -> list[int]:
    return [len(one.began) for one in connections(publisher)]


def has_begun(publisher: SharedPublisher, expected: list[int]) -> Callable[[], bool]:
    return lambda: began(publisher) == expected


@pytest.mark.asyncio
async def test_what_waits_travels_together_and_nothing_beyond_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher = shared(4, trip_s=1.0)
    monkeypatch.setattr(type(publisher.pace), "window_bytes", 10 * SIZE)
    publisher.pace._speeds.append((publisher.pace.now(), 1e9))
    tasks = sends(publisher, 30)
    await until(has_begun(publisher, [1, 2, 2, 2]))
    assert publisher.wanted_bytes() == 12.5 * SIZE
    let_go(publisher)
    await asyncio.gather(*tasks)
    assert sum(began(publisher)) == 30


@pytest.mark.asyncio
async def test_a_batch_is_bounded_and_a_larger_message_goes_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher = shared(3, trip_s=10.0, together=2 * SIZE)
    monkeypatch.setattr(type(publisher.pace), "window_bytes", 100 * SIZE)
    first = sends(publisher, 1, 3 * SIZE)
    await until(has_begun(publisher, [1, 0, 0]))
    tasks = sends(publisher, 5)
    await until(lambda: sum(began(publisher)) == 5)
    assert max(began(publisher)) <= 2
    let_go(publisher)
    await asyncio.gather(*first, *tasks)


@pytest.mark.asyncio
async def test_one_message_on_an_idle_link_waits_for_nobody() -> None:
    publisher = shared(2, trip_s=1000.0)
    tasks = sends(publisher, 1)
    await until(has_begun(publisher, [1, 0]))
    let_go(publisher)
    await asyncio.gather(*tasks)


@pytest.mark.asyncio
async def test_a_second_message_waits_a_while_for_company_and_then_goes() -> None:
    publisher = shared(2, trip_s=1.0)
    tasks = sends(publisher, 2)
    await until(has_begun(publisher, [1, 0]))
    await until(has_begun(publisher, [1, 1]))
    let_go(publisher)
    await asyncio.gather(*tasks)


@pytest.mark.asyncio
async def test_a_connection_that_is_stuck_takes_no_other_s_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_publisher, "_STUCK_S", 0.0)
    publisher = shared(3)
    for one in connections(publisher)[1:]:
        one.go.set()
    flight = publisher.pace.begin(SIZE)
    publisher.pace.arrived(flight)
    tasks = sends(publisher, 40)
    await until(lambda: sum(task.done() for task in tasks) >= 38)
    assert publisher.wanted_bytes() > publisher.pace.window_bytes
    let_go(publisher)
    await asyncio.gather(*tasks)


@pytest.mark.asyncio
async def test_what_fails_or_is_given_up_leaves_its_connection_to_others() -> None:
    publisher = shared(1)
    only = connections(publisher)[0]
    waiting, given_up, last = sends(publisher, 3, 1 << 20)
    await until(has_begun(publisher, [1]))
    given_up.cancel()
    only.fails = True
    only.go.set()
    with pytest.raises(UnavailableError):
        await waiting
    await asyncio.wait({last})
    assert given_up.cancelled()
    assert only.began == [1 << 20] * 2
    assert publisher._carried[0].size == publisher._carried[0].count == 0


@pytest.mark.asyncio
async def test_a_turn_that_was_given_to_one_who_left_is_taken_back() -> None:
    publisher = shared(1)
    task = asyncio.ensure_future(publisher.send("t", Message(b"key", bytes(SIZE), ())))
    await asyncio.sleep(0)
    task.cancel()  # its turn is given, but it has not run since
    await asyncio.wait({task})
    assert publisher._carried[0].count == 0


@pytest.mark.asyncio
async def test_fewer_connections_carry_pictures_while_words_are_crowded_out() -> None:
    words_s, now = [5.0], [0.0]
    publisher = SharedPublisher([Connection() for _ in range(8)], lambda: 1.0, lambda: words_s[0])
    publisher.pace.now, publisher._adapted_s = lambda: now[0], 0.0
    let_go(publisher)
    found = []
    for crowded in (True, True, True, False, False, False):
        words_s[0] = 5.0 if crowded else 2.4
        now[0] += 1.1
        await sends(publisher, 1)[0]
        found.append(publisher._most)
    assert found == [2, 2, 2, 3, 4, 5]
