"""The port to a line controller, and the events that come out of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from connectors.handshake.signals import Signal, SignalValue, SignalValues
from connectors.handshake.values import Connected, Notice, TriggerAge


@dataclass(frozen=True)
class Changed:
    """Watched signals that moved, as one notification named them."""

    values: SignalValues


LinkEvent = Connected | Changed | Literal[Notice.DISCONNECTED]


class LineLink(Protocol):
    """One line controller. It reconnects by itself, and every call has a deadline."""

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        """Connect, watch and reconnect until cancelled. ``on_event`` must not block."""
        ...

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        """Read values in one service call; those of bad or uncertain quality are left out.

        Raises ``LinkError``.
        """
        ...

    def trigger_age(self) -> TriggerAge:
        """How long ago the ``TriggerSeq`` that was read last had been written."""
        ...

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        """Write in one service call.

        Returns:
            The signals that the controller refuses for good (no right, another type, no such
            node). The others are written, and these are not sent again on this connection.

        Raises:
            LinkError: nothing is known to be written, and the connection is replaced.
        """
        ...
