"""From a Faust stream to one bounded task per event, acknowledged when the task is done.

``stream.noack()`` and ``stream.ack(event)`` after the result is at the broker: a worker that is
killed in between causes duplicates, never a loss.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from streams.kafka.acks import InOrderAcks
from streams.kafka.delivery import Delivery
from streams.roles.config import FlowConfig
from streams.roles.metrics import RoleMetrics

Handler = Callable[[Delivery], Awaitable[None]]


class Intake:
    """Holds the events in flight of one role, bounded in events and in bytes.

    The bound is a gate before the agent (``streams.kafka.faust_transport``): an event that has
    arrived is never queued, so its fallback timer starts at once.
    """

    def __init__(self, flow: FlowConfig, metrics: RoleMetrics, log: Callable[..., object]) -> None:
        self._flow = flow
        self._metrics = metrics
        self._log = log
        self._acks: InOrderAcks[tuple[Any, Any]] = InOrderAcks()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = False
        metrics.watch(lambda: len(self._tasks), lambda: self._bytes)

    @property
    def in_flight(self) -> int:
        """Events held."""
        return len(self._tasks)

    async def gate(self) -> None:
        """Wait until there is room for another event; for ever once the role is stopping."""
        await self._room.wait()

    def agent(self, handler: Handler) -> Callable[[Any], Awaitable[None]]:
        """A Faust agent that hands each event to ``handler``, which must not raise."""

        async def run(stream: Any) -> None:
            async for event in stream.noack().events():
                self._take(stream, event, handler)

        return run

    async def drain(self, timeout_s: float) -> int:
        """Take no more, wait for what is in flight; returns how many had to be left."""
        self._stopping = True
        self._room.clear()
        return await self.settle(timeout_s, cancel=True)

    async def settle(self, timeout_s: float, cancel: bool = False) -> int:
        """Wait for what is in flight, at most ``timeout_s``; returns how many were left."""
        if not self._tasks:
            return 0
        _, left = await asyncio.wait(set(self._tasks), timeout=timeout_s)
        if cancel and left:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    def _take(self, stream: Any, event: Any, handler: Handler) -> None:
        if self._stopping:
            return
        message = event.message
        delivery = Delivery(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key or b"",
            value=message.value or b"",
            headers=message.headers or (),
            produced_s=message.timestamp,
            generation=message.generation_id,
        )
        self._metrics.event(message.topic)
        self._acks.track(message.tp, message.generation_id, message.offset, (stream, event))
        self._bytes += delivery.size
        task = asyncio.create_task(self._work(message, delivery, handler))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._update_room()

    async def _work(self, message: Any, delivery: Delivery, handler: Handler) -> None:
        try:
            await handler(delivery)
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - unacknowledged, it is delivered again
            self._log("unhandled", error=f"{type(error).__name__}: {error}", topic=delivery.topic)
            return
        finally:
            self._bytes -= delivery.size
            asyncio.get_running_loop().call_soon(self._update_room)
        for stream, event in self._acks.done(message.tp, message.generation_id, message.offset):
            await stream.ack(event)

    def _update_room(self) -> None:
        full = (
            self._stopping
            or len(self._tasks) >= self._flow.in_flight_events
            or self._bytes >= self._flow.in_flight_bytes
        )
        if full:
            self._room.clear()
        else:
            self._room.set()
