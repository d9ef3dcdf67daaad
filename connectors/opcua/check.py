"""Proves that a controller's signals will serve a line, before one depends on them.

Every signal is read, and watched or written back as the gateway will do it.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from asyncua import Client, ua

from connectors.handshake.signals import (
    LOSSES,
    NEEDED,
    TRIGGER_GROUP,
    WATCHED,
    Owner,
    Signal,
    SignalValue,
    number,
)
from connectors.line_link import Changed, LinkEvent
from connectors.opcua.check_conditions import Condition, Observed, conditions
from connectors.opcua.coercion import last_count
from connectors.opcua.node_set import NodeSet, UnusableSignal, open_node_set, read_in_parts
from connectors.opcua.secured import reached
from connectors.opcua.subscription import Intervals, Notifications, subscribe
from connectors.opcua.write_back import Proof, prove
from connectors.settings import GatewaySettings

_ROUND_TRIPS: Final = 9
_VALUE: Final = ua.AttributeIds.Value


@dataclass(frozen=True)
class CheckedSignal:
    """One signal as it was found, and what to do where something is wrong with it."""

    signal: Signal
    node: str
    kind: str
    shows: SignalValue
    proved: str
    """What was seen of it: read, watched, written, or written and read back."""
    found: str = ""
    remedy: str = ""

    @property
    def stops(self) -> bool:
        """Whether no line could run like this."""
        return bool(self.found) and self.signal in NEEDED

    @property
    def lost(self) -> str:
        """What a line does without; empty where nothing is wrong, or where none could run."""
        return LOSSES.get(self.signal, "") if self.found else ""


@dataclass(frozen=True)
class Checked:
    """What was found of a controller."""

    signals: Sequence[CheckedSignal]
    conditions: Sequence[Condition]

    @property
    def could_run(self) -> bool:
        """Whether a gateway could serve a line with this controller."""
        stops = [one.stops for one in self.signals] + [one.stops for one in self.conditions]
        return not any(stops)


@dataclass
class _Watch:
    """Collects when PlcHeartbeat moved, seconds (monotonic)."""

    beats: list[float] = field(default_factory=list)

    def __call__(self, event: LinkEvent) -> None:
        if isinstance(event, Changed) and Signal.PLC_HEARTBEAT in event.values:
            self.beats.append(time.monotonic())


async def check(
    settings: GatewaySettings, writes: bool = True, say: Callable[[str], None] = lambda _: None
) -> Checked:
    """Check every signal over one session.

    Args:
        settings: the server's address, security and signal map, and the handshake's times.
        writes: whether values are written back; never while a gateway is in charge.
        say: told what is done next.

    Raises:
        NodeSetError: a namespace is not there.
        CertificateError: the server's certificate is not trusted, or the gateway has none.
        LinkError: nobody answers, the connection broke, or the server refuses the gateway's
            certificate, its user or the policy.
    """
    async with reached(settings, "Andon check") as client:
        say("signals are read")
        nodes = await open_node_set(client, settings)
        watch = _Watch()
        intervals = await _watched(client, nodes, settings, watch)
        since = time.monotonic()
        say("heartbeats are watched")
        await asyncio.sleep(2 * settings.dead_after_s + intervals.publishing_ms / 1000)
        gateway_beats = await _moved(client, nodes, Signal.VISION_HEARTBEAT)
        writes = writes and not gateway_beats
        say("signals are written back" if writes else "rights are read")
        proofs = await prove(client, nodes, writes)
        qualities = await _qualities(client, nodes)
        seen = Observed(
            beats_s=tuple(at - since for at in watch.beats),
            watched_s=time.monotonic() - since,
            gateway_beats=gateway_beats,
            publishing_ms=intervals.publishing_ms,
            sampling_ms=intervals.sampling_ms,
            write_ms=_write_ms(proofs.values()),
            round_trip_ms=await _round_trip_ms(client, nodes),
            has_heartbeat=Signal.PLC_HEARTBEAT in nodes.ids,
            takt_ms=number(nodes.values, Signal.TAKT_MS),
            has_stamps=await _has_stamps(client, nodes),
            beat_fault=qualities.get(Signal.PLC_HEARTBEAT, ""),
        )
    wrong = {one.signal: one for one in [*_too_narrow(nodes), *nodes.wrong]}
    signals = [
        _row(nodes, signal, wrong.get(signal), proofs.get(signal), qualities.get(signal, ""))
        for signal in Signal
    ]
    return Checked(signals, conditions(settings, seen))


def _too_narrow(nodes: NodeSet) -> Iterator[UnusableSignal]:
    """Signals that show TriggerSeq, and one day cannot: it goes on where their node ends."""
    own = nodes.kinds.get(Signal.TRIGGER_SEQ)
    for signal in (Signal.TRIGGER_ACK_SEQ, Signal.EXPOSURE_DONE_SEQ, Signal.RESULT_TRIGGER_SEQ):
        kind = nodes.kinds.get(signal)
        if own is None or kind is None or last_count(kind) >= last_count(own):
            continue
        found = f"is {kind.name} and ends at {last_count(kind)}, but TriggerSeq is {own.name}"
        yield UnusableSignal(signal, str(nodes.addresses[signal]), found, f"make it {own.name} too")


async def _watched(
    client: Client, nodes: NodeSet, settings: GatewaySettings, watch: _Watch
) -> Intervals:
    events = Notifications(nodes, lambda _: None)
    intervals = await subscribe(client, nodes, settings.publishing_interval_ms, events)
    events.forward(watch)
    return intervals


async def _moved(client: Client, nodes: NodeSet, signal: Signal) -> bool:
    """Whether a signal shows something else than when the connection began."""
    if signal not in nodes.ids:
        return False
    (read,) = await read_in_parts(client, [nodes.ids[signal]], _VALUE)
    with suppress(ValueError):
        return nodes.value(signal, read) != nodes.values[signal]
    return False


def _write_ms(proofs: Collection[Proof]) -> float | None:
    """The median time of a Write, milliseconds; None where nothing was written."""
    took = sorted(proof.write_ms for proof in proofs if proof.write_ms)
    return took[len(took) // 2] if took else None


async def _round_trip_ms(client: Client, nodes: NodeSet) -> float:
    """The median time of a Read of one node, milliseconds."""
    took = []
    for _ in range(_ROUND_TRIPS if nodes.ids else 0):
        began = time.monotonic()
        await read_in_parts(client, [next(iter(nodes.ids.values()))], _VALUE)
        took.append((time.monotonic() - began) * 1000)
    return sorted(took)[len(took) // 2] if took else 0.0


async def _has_stamps(client: Client, nodes: NodeSet) -> bool:
    """Whether the values say when they changed: T runs from the trigger by that."""
    asked = [nodes.ids.get(s) for s in (Signal.TRIGGER_SEQ, Signal.PLC_HEARTBEAT)]
    reads = await read_in_parts(client, [one for one in asked if one is not None], _VALUE)
    return None not in asked and all(read.SourceTimestamp is not None for read in reads)


async def _qualities(client: Client, nodes: NodeSet) -> Mapping[Signal, str]:
    """What is wrong with the value of each signal that shows one of no use."""
    found = {}
    reads = await read_in_parts(client, list(nodes.ids.values()), _VALUE)
    for signal, read in zip(nodes.ids, reads, strict=True):
        try:
            nodes.value(signal, read)
        except ValueError as error:
            found[signal] = str(error)
    return found


def _row(
    nodes: NodeSet,
    signal: Signal,
    wrong: UnusableSignal | None,
    proof: Proof | None,
    quality: str,
) -> CheckedSignal:
    address, kind = nodes.addresses.get(signal), nodes.kinds.get(signal)
    shown = "constant" if address is None else kind.name if kind is not None else ""
    found, remedy, proved = "", "", ""
    if address is not None and wrong is None:
        proved = "read, watched" if signal in WATCHED else "read"
    if proof is not None and proof.proved:
        proved = f"{proved}, {proof.proved}"
    if wrong is not None:
        found, remedy = wrong.found, wrong.remedy
    elif proof is not None and proof.found:
        found, remedy = proof.found, proof.remedy
    elif quality and signal.owner is Owner.PLC:
        found = quality
        remedy = "let the controller give it a good value"
        remedy += ": a part with it is held" if signal in TRIGGER_GROUP else ""
    node = str(address) if address is not None else ""
    return CheckedSignal(signal, node, shown, nodes.values[signal], proved, found, remedy)
