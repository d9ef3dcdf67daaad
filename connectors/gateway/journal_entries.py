"""The journal's lines: ``crc32 json`` to entries and back. Pure."""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog

from connectors.handshake import HandshakeConfig, Part, PartKey, Phase, State, Verdict, restore
from streams.codes import DecisionSource, ReasonCode, ResultCode
from streams.ports import Trigger

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class JournalEntry:
    """One trigger as far as it came. Times are seconds since the epoch."""

    key: PartKey
    frame_id: UUID
    trigger: Trigger
    triggered_at: float
    window_s: float
    missed: bool = False
    captured: bool = False
    published: bool = False
    verdict: Verdict | None = None
    decision: str = ""
    """The gateway's own decision as JSON, until the broker has it."""
    result_seq: int = 0
    ordered_at: float | None = None
    written_at: float | None = None
    acknowledgement: str = ""
    """The outcome as JSON, until the broker has it."""
    closed: bool = False


@dataclass
class Recovered:
    """What a journal knew: the controller's run, its last trigger, and parts by key."""

    plc_boot_id: int | None = None
    last_trigger_seq: int = 0
    entries: dict[PartKey, JournalEntry] = field(default_factory=dict)
    corrupt_lines: int = 0


def encode_line(row: Mapping[str, Any]) -> bytes:
    """One line with its checksum."""
    body = json.dumps(row, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def replay(data: bytes) -> tuple[Recovered, int]:
    """What the lines say, and how many bytes of them are whole lines."""
    known = Recovered()
    good = 0
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        good += len(line)
        crc, _, body = line.rstrip(b"\n").partition(b" ")
        try:
            if int(crc, 16) != zlib.crc32(body):
                raise ValueError("checksum")
            apply_row(known, json.loads(body))
        except (ValueError, KeyError, TypeError) as error:
            known.corrupt_lines += 1
            log.error("journal.corrupt_line", why=str(error), at_byte=good - len(line))
    return known, good


def snapshot_lines(known: Recovered) -> Iterable[bytes]:
    """The fewest lines that replay to the same."""
    rows: list[dict[str, Any]] = []
    if known.plc_boot_id is not None:
        rows.append({"t": "run", "b": known.plc_boot_id, "s": known.last_trigger_seq})
    rows += [{"t": "part", "k": list(key), **_fields(e)} for key, e in known.entries.items()]
    for row in rows:
        yield encode_line(row)


def apply_row(known: Recovered, row: Mapping[str, Any]) -> None:
    """What one line adds to what is known."""
    kind = row["t"]
    if kind == "run":
        if row.get("new"):
            known.entries = {k: e for k, e in known.entries.items() if k.plc_boot_id != row["b"]}
        known.plc_boot_id, known.last_trigger_seq = row["b"], row["s"]
        return
    key = PartKey(*row["k"])
    if kind in ("minted", "part"):
        known.entries[key] = _entry(key, row)
        if kind == "minted":
            known.plc_boot_id, known.last_trigger_seq = key
        return
    entry = known.entries.get(key)
    if entry is None:
        return
    known.entries[key] = _advance(entry, kind, row)


def _advance(entry: JournalEntry, kind: str, row: Mapping[str, Any]) -> JournalEntry:
    match kind:
        case "captured":
            return replace(entry, captured=True)
        case "published":
            return replace(entry, published=True)
        case "decided":
            return replace(entry, verdict=_verdict(row["v"]), decision=row.get("d", ""))
        case "decision_sent":
            return replace(entry, decision="")
        case "writing":
            verdict = _verdict(row["v"])
            return replace(entry, result_seq=row["r"], verdict=verdict, ordered_at=row.get("at"))
        case "written":
            return replace(entry, written_at=row["at"])
        case "outcome":
            return replace(entry, acknowledgement=row["a"])
        case "closed":
            return replace(entry, acknowledgement="", closed=True)
    return entry


def minted_fields(entry: JournalEntry) -> dict[str, Any]:
    """The fields of a ``minted`` line."""
    t = entry.trigger
    return {
        "f": str(entry.frame_id),
        "g": [t.part_id, t.lot_id, t.product_id, t.encoder_pos, t.takt_ms],
        "at": entry.triggered_at,
        "w": entry.window_s,
        "m": int(entry.missed),
    }


def verdict_fields(verdict: Verdict) -> list[Any]:
    """A verdict as JSON."""
    return [
        str(verdict.result_id),
        verdict.source.value,
        int(verdict.code),
        int(verdict.reason),
        verdict.class_id,
        verdict.score,
        verdict.decided_at,
    ]


def _verdict(row: list[Any]) -> Verdict:
    result_id, source, code, reason, *rest = row
    return Verdict(
        UUID(result_id), DecisionSource(source), ResultCode(code), ReasonCode(reason), *rest
    )


def _fields(entry: JournalEntry) -> dict[str, Any]:
    return {
        **minted_fields(entry),
        "c": int(entry.captured),
        "p": int(entry.published),
        "v": verdict_fields(entry.verdict) if entry.verdict else None,
        "d": entry.decision,
        "r": entry.result_seq,
        "oa": entry.ordered_at,
        "wa": entry.written_at,
        "a": entry.acknowledgement,
        "z": int(entry.closed),
    }


def _entry(key: PartKey, row: Mapping[str, Any]) -> JournalEntry:
    part_id, lot_id, product_id, encoder_pos, takt_ms = row["g"]
    return JournalEntry(
        key=key,
        frame_id=UUID(row["f"]),
        trigger=Trigger(*key, part_id, lot_id, product_id, encoder_pos, takt_ms),
        triggered_at=row["at"],
        window_s=row["w"],
        missed=bool(row.get("m")),
        captured=bool(row.get("c")),
        published=bool(row.get("p")),
        verdict=_verdict(row["v"]) if row.get("v") else None,
        decision=row.get("d", ""),
        result_seq=row.get("r", 0),
        ordered_at=row.get("oa"),
        written_at=row.get("wa"),
        acknowledgement=row.get("a", ""),
        closed=bool(row.get("z")),
    )


def recover(config: HandshakeConfig, known: Recovered, now: float, wall: float) -> State:
    """The state that a gateway starts with.

    Args:
        now: monotonic time, seconds; the same moment as
        wall: seconds since the epoch.
    """
    offset = now - wall
    parts = [
        _part(entry, offset)
        for entry in known.entries.values()
        if entry.key.plc_boot_id == known.plc_boot_id
        and not entry.closed
        and not entry.acknowledgement
    ]
    closed = {
        entry.key: entry.verdict.result_id
        for entry in known.entries.values()
        if (entry.closed or entry.acknowledgement) and entry.verdict is not None
    }
    return restore(config, known.plc_boot_id, known.last_trigger_seq, parts, closed)


def _part(entry: JournalEntry, offset: float) -> Part:
    """One open part. One without a picture is held as soon as the line is back (``asked``)."""
    phase = Phase.OPEN
    if entry.result_seq:
        phase = Phase.WRITTEN if entry.written_at is not None else Phase.WRITING
    elif entry.verdict is not None:
        phase = Phase.QUEUED
    return Part(
        key=entry.key,
        trigger=entry.trigger,
        frame_id=entry.frame_id,
        triggered_at=entry.triggered_at + offset,
        deadline=entry.triggered_at + entry.window_s + offset,
        missed=entry.missed,
        phase=phase,
        asked=entry.missed or not entry.captured,
        verdict=entry.verdict,
        result_seq=entry.result_seq,
        ordered_at=entry.ordered_at + offset if entry.ordered_at is not None else None,
        written_at=entry.written_at + offset if entry.written_at is not None else None,
    )
