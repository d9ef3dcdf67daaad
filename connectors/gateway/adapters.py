"""What a gateway works with."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from connectors.gateway.journal import Journal
from connectors.gateway.lanes import LanedPublisher
from connectors.gateway.spooling_publisher import SpoolingPublisher
from connectors.handshake.state import State
from connectors.handshake.values import Command
from connectors.line_link import LineLink
from streams.ports import Camera, DecisionFeed, PolicySource


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(frozen=True)
class GatewayPorts:
    """The adapters that the gateway works with; ``andon`` builds them."""

    link: LineLink
    cameras: Sequence[Camera]
    """One for each shot of the settings, in order; a single one without shots."""
    journal: Journal
    publisher: SpoolingPublisher | LanedPublisher
    feed: DecisionFeed
    policies: PolicySource
    caught_up: asyncio.Event = field(default_factory=_set_event)
    """Set while ``feed`` has given all that stands at the broker."""
    in_charge: Callable[[], bool] = lambda: True
    """Whether this gateway, and no other one, speaks for the line controller's parts."""
    on_step: Callable[[State, State, Sequence[Command]], None] = lambda *_: None
    """Told of each step of the handshake: the state before, after, and what was ordered."""
