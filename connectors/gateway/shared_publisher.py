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
_CROWDED, _CROWDED_S = 2.0, 0.5
"""Words that take so many round trips, and so many seconds more, are crowded out by pictures."""
_FEWEST, _FEWER = 2, 0.7
"""Connections that pictures have all the same; so many of them are left when words are crowded."""
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

    Connections share a link by turns, so words have the less of it, the more connections carry
    pictures. While words are crowded out fewer do, each with more on its way.

    Args:
        publishers: the connections; those that are never needed are never opened.
        round_trip_s: how long the smallest message takes, seconds; 0 when nobody knows.
        words_s: how long words usually take now, seconds; 0 when nobody knows.
        together_bytes: bound of what one connection carries together; a larger message goes alone.
    """

    publishers: Sequence[Publisher]
    round_trip_s: Callable[[], float] = lambda: 0.0
    words_s: Callable[[], float] = lambda: 0.0
    together_bytes: int = TOGETHER_BYTES

    def __post_init__(self) -> None:
        self.pace = Pace(self.round_trip_s)
        self._most, self._adapted_s = len(self.publishers), self.pace.now()
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
            self._adapt()
        finally:
            self._done(chosen, waiting.size)

    def _done(self, chosen: int, size: int) -> None:
        carried = self._carried[chosen]
        carried.count -= 1
        carried.size -= size
        self._give_turns()

    def _batch_bytes(self) -> float:
        return min(self.pace.window_bytes / min(_SHARES, self._most), self.together_bytes)

    def _adapt(self) -> None:
        """Once in a round trip: fewer connections where words are crowded out, else one more."""
        now, trip_s = self.pace.now(), self.pace.trip_s
        if now - self._adapted_s < max(trip_s, _CROWDED_S):
            return
        self._adapted_s = now
        if self.words_s() > _CROWDED * trip_s + _CROWDED_S:
            in_use = min(self._most, sum(one.count > 0 for one in self._carried) + 1)
            self._most = max(int(in_use * _FEWER), _FEWEST)
        else:
            self._most = min(self._most + 1, len(self.publishers))

    def _give_turns(self) -> None:
        """Those that wait longest to the first connection that has nothing on its way."""
        while self._waiting and self._has_room():
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

    def _has_room(self) -> bool:
        moving = self._moving()
        size = sum(one.size for one in moving)
        return len(moving) < self._most and size < self.pace.window_bytes

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
        all_of_it = sum(one.size for one in self._carried)
        return all_of_it - sum(one.size for one in self._moving())

    def _moving(self) -> list[_Carried]:
        """Those with something on its way, but for those that take far longer than they should."""
        all_of_it = sum(one.size for one in self._carried)
        stuck_s = _STUCK * self.pace.time_for(all_of_it) + _STUCK_S
        now = time.monotonic()
        return [one for one in self._carried if one.count and now - one.began < stuck_s]
