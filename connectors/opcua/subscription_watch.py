"""Watches that a subscription tells what the controller shows, in whole and item by item."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from connectors.handshake.signals import WATCHED, Signal, SignalValues
from connectors.opcua.subscription import Notifications
from connectors.settings import GatewaySettings

_ON_ITS_WAY_S: Final = 0.2
"""A notification of what was just read may still come for this long, seconds."""


class SubscriptionWatch:
    """Drops the link when its subscription, or an item of it, tells nothing any more.

    Args:
        settings: the period of the controller's heartbeat, and when it counts as dead.
        events: what was told.
        signals: those that are subscribed to.
        read: reads signals at the controller.
        drop: ends the connection, for this reason.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        events: Notifications,
        signals: Iterable[Signal],
        read: Callable[[Iterable[Signal]], Awaitable[SignalValues]],
        drop: Callable[[str], None],
    ) -> None:
        self._settings, self._events = settings, events
        self._read, self._drop = read, drop
        watched = set(signals)
        self._has_beat = Signal.PLC_HEARTBEAT in watched
        self._items = [s for s in WATCHED if s in watched and s is not Signal.PLC_HEARTBEAT]

    async def beats(self) -> None:
        """See that the controller's heartbeat is told, where it has one.

        A server may forget a subscription and keep the connection. The heartbeat is silent then,
        but moves when it is read; where it does not move either, its program stands still, and
        the link is sound.

        Raises:
            LinkError: the connection is gone.
        """
        events, silent_s = self._events, self._settings.dead_after_s
        while self._has_beat:
            since = time.monotonic() - events.beat_at
            if since < silent_s:
                await asyncio.sleep(silent_s - since)
                continue
            read = await self._read([Signal.PLC_HEARTBEAT])
            beat_at = events.beat_at
            await asyncio.sleep(_ON_ITS_WAY_S)
            if events.beat_at != beat_at:
                continue
            if not events.shows_beat(read):
                self._drop("the subscription is silent, though PlcHeartbeat moves")
                return
            events.beat_at = time.monotonic()

    async def items(self) -> None:
        """See that whatever moves is told.

        A server may drop a single item, as after a download of one data block, and go on telling
        the others. Where the controller has no heartbeat, that its server answers is one.

        Raises:
            LinkError: the connection is gone.
        """
        settings, events = self._settings, self._events
        pause_s = settings.dead_after_s if self._has_beat else settings.heartbeat_s
        while True:
            await asyncio.sleep(pause_s)
            read = await self._read(self._items)
            if not self._has_beat:
                self._stand_in(read)
            behind = events.behind(read, _ON_ITS_WAY_S)
            if behind is None and self._has_beat and events.is_behind:
                await asyncio.sleep(events.late_s + _ON_ITS_WAY_S)
                behind = events.behind(await self._read(self._items), _ON_ITS_WAY_S)
            if behind is not None:
                self._drop(f"the subscription is silent, though {behind.wire_name} moved")
                return

    def _stand_in(self, read: SignalValues) -> None:
        """Tell a heartbeat, and a trigger that was seen with it at once."""
        beat = (int(str(self._events.beat)) + 1) & 0xFFFFFFFF
        moved = {s: value for s, value in read.items() if s is Signal.TRIGGER_SEQ}
        self._events.tell(moved | {Signal.PLC_HEARTBEAT: beat})
