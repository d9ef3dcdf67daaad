"""Several connections as one: as much on its way as keeps the link busy, and no more."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from connectors.gateway.pace import Pace
from streams.envelope import Message
from streams.ports import Publisher

TOGETHER_BYTES = 4 << 20
"""Messages that one connection carries together, as one batch, at most."""
BATCH_BYTES = 5 << 20
"""Bound of a client's batches that holds them with keys and headers."""
_SHARES = 4
"""A window is carried by so many connections, or by more where it is larger than their batches."""
_LINGER = 0.05
"""The share of a round trip that a message may wait for others to travel with."""
_STUCK, _STUCK_S = 3.0, 2.0
"""A connection that takes so many times as long as it should, and so many seconds, is stuck; others
then take its turn."""


@dataclass(eq=False)
class _Carried:
    """What one connection has on its way."""

    began: float = 0.0
    count: int = 0
    size: int = 0


@dataclass(eq=False)
class _Waiting:
    """A message that waits for its turn."""

    size: int
    since: float
    turn: "asyncio.Future[int]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(eq=False)
class SharedPublisher:
    """Several connections as one publisher.

    A client of Kafka sends one batch at a time, and its connection stands still for a round trip
    after each. So messages that wait travel together, the more the longer the round trip and the
    faster the link, and as many connections are used as hold the window (``Pace``). Each has one
    batch at a time; one that is stuck stops only what is on it.

    Args:
        publishers: the connections; those that are never needed are never opened.
        round_trip_s: how long the smallest message takes, seconds; 0 when nobody knows.
        together_bytes: bound of what one connection carries together; a larger message goes alone.
    """

    publishers: Sequence[Publisher]
    round_trip_s: Callable[[], float] = lambda: 0.0
    together_bytes: int = TOGETHER_BYTES

    def __post_init__(self) -> None:
        self.pace = Pace(self.round_trip_s)
        self._carried = [_Carried() for _ in self.publishers]
        self._waiting: deque[_Waiting] = deque()
        self._lingering: asyncio.TimerHandle | None = None

    def wanted_bytes(self) -> float:
        """How much should be on its way or wait for its turn: the window and a batch."""
        return self.pace.window_bytes + self._batch_bytes() + self._stuck_bytes()

    async def send(self, topic: str, message: Message) -> None:
        """Raises what the publisher raises."""
        waiting = _Waiting(len(message.value), time.monotonic())
        self._waiting.append(waiting)
        self._give_turns()
        try:
            chosen = await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self._done(waiting.turn.result(), waiting.size)
            else:
                self._waiting.remove(waiting)
            raise
        flight = self.pace.begin(waiting.size)
        try:
            await self.publishers[chosen].send(topic, message)
            self.pace.arrived(flight)
        finally:
            self._done(chosen, waiting.size)

    def _done(self, chosen: int, size: int) -> None:
        carried = self._carried[chosen]
        carried.count -= 1
        carried.size -= size
        self._give_turns()

    def _batch_bytes(self) -> float:
        return min(self.pace.window_bytes / _SHARES, self.together_bytes)

    def _give_turns(self) -> None:
        """Those that wait longest to the first connection that has nothing on its way."""
        while self._waiting and self._moving_bytes() < self.pace.window_bytes:
            idle = next((n for n, one in enumerate(self._carried) if not one.count), None)
            if idle is None or self._lingers():
                return
            carried = self._carried[idle]
            carried.began, most = time.monotonic(), self._batch_bytes()
            while self._waiting:
                one = self._waiting[0]
                if carried.count and carried.size + one.size > most:
                    break
                carried.count += 1
                carried.size += one.size
                self._waiting.popleft().turn.set_result(idle)

    def _lingers(self) -> bool:
        """Whether less than a batch should wait for more, as others are on their way."""
        is_alone = not any(one.count for one in self._carried)
        if is_alone or sum(one.size for one in self._waiting) >= self._batch_bytes():
            return False
        left_s = self._waiting[0].since + _LINGER * self.pace.trip_s - time.monotonic()
        if left_s <= 0:
            return False
        if self._lingering is not None:
            self._lingering.cancel()
        self._lingering = asyncio.get_running_loop().call_later(left_s, self._give_turns)
        return True

    def _stuck_bytes(self) -> int:
        return sum(one.size for one in self._carried) - self._moving_bytes()

    def _moving_bytes(self) -> int:
        """What is on its way, but for connections that take far longer than they should."""
        all_of_it = sum(one.size for one in self._carried)
        stuck_s = _STUCK * self.pace.time_for(all_of_it) + _STUCK_S
        now = time.monotonic()
        return sum(one.size for one in self._carried if one.count and now - one.began < stuck_s)
