"""Proves that the gateway's signals can be written: by the right, by a Write, by reading it back.

What a controller's program could act on is only written with the value that stands there. The
result registers get another value and then their own again: they say nothing as long as
``ResultSeq`` stands still. So does ``VisionHeartbeat``, which must keep all of its 32 bits.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from asyncua import Client, ua

from connectors.handshake.signals import Owner, Signal, SignalValue
from connectors.opcua.node_set import NodeSet, read_in_parts, status_name
from connectors.opcua.refusals import FOR_GOOD

_WRITE: Final = 1 << ua.AccessLevel.CurrentWrite
_TEXT: Final = "Andon check, 64 characters: " + "0123456789" * 3 + "012345"
_OTHERS: Final[Mapping[Signal, tuple[SignalValue, SignalValue]]] = {
    Signal.RESULT_TRIGGER_SEQ: (70_000, 70_001),
    Signal.RESULT_PART_ID: (_TEXT, _TEXT[::-1]),
    Signal.RESULT_CODE: (4, 3),
    Signal.REASON_CODE: (300, 301),
    Signal.DECISION_SOURCE: (4, 3),
    Signal.CLASS_ID: (-1, 70_000),
    Signal.SCORE: (0.5, 0.25),
    Signal.RESULT_TIME: (datetime(2020, 2, 3, 4, 5, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)),
    Signal.VISION_HEARTBEAT: (0xA5A5_0001, 0xA5A5_0002),
}
"""Two values for each register that no program acts on; the first that does not stand there."""
_RIGHT: Final = "give the gateway's user the right to write it"


@dataclass(frozen=True)
class Proof:
    """What was proved of one signal, or what is wrong and what to do."""

    proved: str = ""
    found: str = ""
    remedy: str = ""
    write_ms: float = 0.0
    """How long its Write took, milliseconds; 0: none was taken."""


async def prove(client: Client, nodes: NodeSet, writes: bool) -> dict[Signal, Proof]:
    """Prove each of the gateway's signals that is there; without ``writes`` by its rights only."""
    own = [signal for signal in nodes.ids if signal.owner is Owner.GATEWAY]
    ids = [nodes.ids[signal] for signal in own]
    levels = await read_in_parts(client, ids, ua.AttributeIds.UserAccessLevel)
    found = {}
    for signal, level in zip(own, levels, strict=True):
        value = level.Value.Value if level.Value is not None else None
        if value is not None and not int(value) & _WRITE:
            found[signal] = Proof(found="may not be written (UserAccessLevel)", remedy=_RIGHT)
        elif writes:
            found[signal] = await _prove_one(client, nodes, signal)
        else:
            found[signal] = Proof("may be written")
    return found


async def _prove_one(client: Client, nodes: NodeSet, signal: Signal) -> Proof:
    (before,) = await read_in_parts(client, [nodes.ids[signal]], ua.AttributeIds.Value)
    try:
        stands = nodes.value(signal, before)
    except ValueError:
        stands = signal.default
    other = next((v for v in _OTHERS.get(signal, ()) if v != stands), None)
    try:
        if other is None:
            return await _written(client, nodes, signal, stands, "written as it stood")
        try:
            proof = await _written(client, nodes, signal, other, "written and read back")
        finally:  # also for a person who does not wait for the end
            again = await _written(client, nodes, signal, stands, "")
        return again if again.found and not proof.found else proof
    except ValueError as error:
        return Proof(found=str(error), remedy=f"make it {signal.data_type}")


async def _written(
    client: Client, nodes: NodeSet, signal: Signal, value: SignalValue, words: str
) -> Proof:
    """Write, and read it back."""
    node = nodes.ids[signal]
    began = time.monotonic()
    try:
        (status,) = await client.uaclient.write_attributes([node], [nodes.written(signal, value)])
    except ua.UaStatusCodeError as error:
        status = ua.StatusCode(error.code)
    if not status.is_good():
        name = status_name(status)
        return Proof(found=f"refuses a Write ({name})", remedy=_remedy(name))
    took_ms = 1000 * (time.monotonic() - began)
    (read,) = await read_in_parts(client, [node], ua.AttributeIds.Value)
    found = nodes.value(signal, read)
    if _same(found, value):
        return Proof(words, write_ms=took_ms)
    if isinstance(value, str) and isinstance(found, str) and value.startswith(found):
        return Proof(
            words,
            f"keeps {len(found)} of {len(value)} characters",
            "make the text longer than the longest part id, or the result names half of it",
        )
    return Proof(
        found=f"shows {found!r} after {value!r} was written",
        remedy="let nothing but the gateway write it, and the server pass each value on",
    )


def _remedy(status: str) -> str:
    if status == "BadTypeMismatch":
        return "give the node the type that it declares, or another of the signal's types"
    if status == "BadWriteNotSupported":
        return "let the server take plain values (they carry no status and no time)"
    if status == "BadOutOfRange":
        return "let the node take the whole range of its type"
    if status not in FOR_GOOD:
        return "look at the device or channel that the server has this node from, and check again"
    return _RIGHT


def _same(found: SignalValue, value: SignalValue) -> bool:
    if isinstance(found, float) and isinstance(value, float):
        return math.isclose(found, value, rel_tol=1e-6)
    return found == value
