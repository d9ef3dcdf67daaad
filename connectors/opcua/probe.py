"""Reads what a line controller shows, once, and tells what would keep a gateway from serving it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from asyncua import Client, ua

from connectors.errors import NodeSetError
from connectors.handshake.signals import Owner, Signal, SignalValues
from connectors.opcua.nodes import checked_value, node_ids
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
        try:
            index = await client.get_namespace_index(settings.namespace)
        except ValueError:
            found = ", ".join(await client.get_namespace_array())
            raise NodeSetError(f"no namespace {settings.namespace!r} there, but {found}") from None
        nodes = node_ids(settings.node_prefix, index)
        values = await _read(client, nodes)
        await _check_writable(client, nodes)
        beats = {s: nodes[s] for s in (Signal.PLC_HEARTBEAT, Signal.VISION_HEARTBEAT)}
        moved = await _moved(client, beats, values, settings.dead_after_s)
    return Probed(values, Signal.PLC_HEARTBEAT in moved, Signal.VISION_HEARTBEAT in moved)


async def _read(client: Client, nodes: dict[Signal, ua.NodeId]) -> SignalValues:
    """Every signal; all that are wrong are named at once."""
    read = await client.uaclient.read_attributes(list(nodes.values()), ua.AttributeIds.Value)
    values, wrong = {}, []
    for signal, value in zip(nodes, read, strict=True):
        try:
            values[signal] = checked_value(signal, value)
        except NodeSetError as error:
            wrong.append(str(error))
    if wrong:
        shown = "; ".join(wrong[:3])
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise NodeSetError(f"{len(wrong)} of {len(nodes)} signals cannot be read: {shown}{more}")
    return values


async def _check_writable(client: Client, nodes: dict[Signal, ua.NodeId]) -> None:
    own = [signal for signal in Signal if signal.owner is Owner.GATEWAY]
    levels = await client.uaclient.read_attributes(
        [nodes[signal] for signal in own], ua.AttributeIds.UserAccessLevel
    )
    shut = [
        signal.wire_name
        for signal, level in zip(own, levels, strict=True)
        if level.Value is not None and not (int(level.Value.Value) & _WRITE)
    ]
    if shut:
        raise NodeSetError(f"may not be written: {', '.join(shut)}")


async def _moved(
    client: Client, nodes: dict[Signal, ua.NodeId], before: SignalValues, within_s: float
) -> set[Signal]:
    """Which of the counters differ from ``before`` within a time."""
    moved: set[Signal] = set()
    now: Callable[[], float] = asyncio.get_running_loop().time
    until = now() + within_s
    while now() < until and len(moved) < len(nodes):
        await asyncio.sleep(_LOOK_S)
        read = await client.uaclient.read_attributes(list(nodes.values()), ua.AttributeIds.Value)
        for signal, value in zip(nodes, read, strict=True):
            if checked_value(signal, value) != before[signal]:
                moved.add(signal)
    return moved
