"""The port to a line controller, and what comes out of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from connectors.handshake.signals import Signal


class LinkState(Enum):
    """The supervisor's state of one connection."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    BACKING_OFF = "backing_off"


@dataclass(frozen=True)
class LinkUp:
    """A new connection; the values of all signals, read after the subscription stood."""

    values: Mapping[Signal, Any]


@dataclass(frozen=True)
class LinkDown:
    """The connection is over."""

    reason: str


@dataclass(frozen=True)
class Changed:
    """Watched signals that moved, all of one notification."""

    values: Mapping[Signal, Any]


LinkEvent = LinkUp | LinkDown | Changed


class LineLink(Protocol):
    """One line controller. Reconnects by itself; every call has a deadline."""

    @property
    def state(self) -> LinkState: ...

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        """Connect, watch and reconnect until cancelled. ``on_event`` must not block."""
        ...

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, Any]:
        """Fresh values, one service call. Raises ``LinkError``."""
        ...

    async def write(self, values: Mapping[Signal, Any]) -> None:
        """One service call. Raises ``LinkError``; the connection is then replaced."""
        ...

    def drop(self, reason: str) -> None:
        """Give this connection up and make a new one."""
        ...
