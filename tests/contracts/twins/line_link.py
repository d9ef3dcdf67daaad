"""The twin of ``connectors.line_link.LineLink``: a controller that is a dictionary."""

import asyncio
from collections.abc import Callable, Iterable

from connectors.errors import LinkError
from connectors.handshake.signals import WATCHED, Owner, Signal, SignalValue, SignalValues
from connectors.handshake.values import Connected, Notice, TriggerAge
from connectors.line_link import Changed, LinkEvent


class InMemoryLineLink:
    """``LineLink`` to ``values``; ``put`` is what the controller writes, ``cut`` the cable."""

    def __init__(self) -> None:
        self.values: dict[Signal, SignalValue] = {s: s.default for s in Signal}
        self._on_event: Callable[[LinkEvent], None] | None = None
        self._lost = asyncio.Event()
        self._plugged = asyncio.Event()
        self._plugged.set()

    def put(self, values: SignalValues) -> None:
        self.values.update(values)
        watched = {s: v for s, v in values.items() if s in WATCHED}
        if self._on_event is not None and watched:
            self._on_event(Changed(watched))

    def cut(self) -> None:
        self._plugged.clear()
        self._lost.set()

    def mend(self) -> None:
        self._plugged.set()

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        while True:
            await self._plugged.wait()
            self._lost.clear()
            on_event(Connected(dict(self.values)))
            self._on_event = on_event
            try:
                await self._lost.wait()
            finally:
                self._on_event = None
                on_event(Notice.DISCONNECTED)

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        self._check()
        return {s: self.values[s] for s in signals}

    def trigger_age(self) -> TriggerAge:
        return TriggerAge()

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        self._check()
        refused = frozenset(s for s in values if s.owner is not Owner.GATEWAY)
        self.values.update({s: v for s, v in values.items() if s not in refused})
        return refused

    def _check(self) -> None:
        if self._on_event is None or self._lost.is_set():
            raise LinkError("not connected")
