"""Reads what a line controller shows, once, and tells what would keep a gateway from serving it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from asyncua import Client, ua

from connectors.errors import NodeSetError
from connectors.handshake.signals import Owner, Signal, SignalValues
from connectors.opcua.node_set import NodeSet, open_node_set, read_in_parts
from connectors.opcua.secured import connected
from connectors.settings import GatewaySettings

_LOOK_S = 0.1
"""Pause between two looks at the counters, seconds."""
_WRITE = 1 << ua.AccessLevel.CurrentWrite


@dataclass(frozen=True)
class Probed:
    """What a controller showed: every signal's value, and whether each side's heartbeat moves."""

    values: SignalValues
    plc_beats: bool
    gateway_beats: bool


async def probe(settings: GatewaySettings) -> Probed:
    """Connect, read every signal, and wait until both heartbeats moved or had the time to.

    Nothing is written.

    Raises:
        NodeSetError: the namespace or nodes are absent, of another type, or may not be written.
        CertificateError: the server's certificate is not trusted, or the gateway has none.
        LinkError: the server refuses the gateway's certificate, its user or the policy.
        OSError: nobody listens, or the connection broke.
    """
    async with connected(settings, "Andon doctor") as client:
        nodes = await open_node_set(client, settings)
        if nodes.wrong:
            shown = "; ".join(str(one) for one in nodes.wrong[:3])
            more = f"; and {len(nodes.wrong) - 3} more" if len(nodes.wrong) > 3 else ""
            count = f"{len(nodes.wrong)} of {len(nodes.addresses)} signals cannot be used"
            raise NodeSetError(f"{count}: {shown}{more}")
        await _check_writable(client, nodes)
        values = dict(nodes.values)
        moved = await _moved(client, nodes, settings.dead_after_s)
    beats = Signal.PLC_HEARTBEAT in moved or Signal.PLC_HEARTBEAT not in nodes.ids
    return Probed(values, beats, Signal.VISION_HEARTBEAT in moved)


async def _check_writable(client: Client, nodes: NodeSet) -> None:
    own = [signal for signal in nodes.ids if signal.owner is Owner.GATEWAY]
    ids = [nodes.ids[signal] for signal in own]
    levels = await read_in_parts(client, ids, ua.AttributeIds.UserAccessLevel)
    shut = [
        f"{signal.wire_name} ({nodes.addresses[signal]})"
        for signal, level in zip(own, levels, strict=True)
        if level.Value is not None
        and level.Value.Value is not None
        and not (int(level.Value.Value) & _WRITE)
    ]
    if shut:
        raise NodeSetError(f"may not be written: {', '.join(shut)}")


async def _moved(client: Client, nodes: NodeSet, within_s: float) -> set[Signal]:
    """Which of the heartbeats differ from their values at the start within a time."""
    watched = [s for s in (Signal.PLC_HEARTBEAT, Signal.VISION_HEARTBEAT) if s in nodes.ids]
    moved: set[Signal] = set()
    now: Callable[[], float] = asyncio.get_running_loop().time
    until = now() + within_s
    while now() < until and len(moved) < len(watched):
        await asyncio.sleep(_LOOK_S)
        ids = [nodes.ids[signal] for signal in watched]
        read = await read_in_parts(client, ids, ua.AttributeIds.Value)
        for signal, value in zip(watched, read, strict=True):
            if nodes.value(signal, value) != nodes.values[signal]:
                moved.add(signal)
    return moved
