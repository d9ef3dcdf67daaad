"""The simulated controller's own book of what it triggered, was told, and did."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict

from lab.percentiles import percentile
from lab.plc.plan import read_rows

Key = tuple[int, int]
"""(PlcBootId, TriggerSeq)"""


class Disposition(StrEnum):
    """What the controller did with a result that reached it.

    The first inside the window is applied and decides the part; another one is a duplicate. A
    result is late when the controller had decided by itself, and unknown when this run of the
    controller never gave its trigger.
    """

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    LATE = "late"
    UNKNOWN = "unknown"


class LedgerRow(BaseModel):
    """One line of the book: a start, trigger, result, default or ack, by ``event``.

    ``at`` is in seconds since the epoch, ``ms`` the milliseconds from the trigger to the result
    (None for an unknown trigger). Fields that nothing here reads (lot, score ...) are kept.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    event: str
    plc_boot_id: int
    at: float
    trigger_seq: int = 0
    part_id: str = ""
    result_seq: int = 0
    action: str = ""
    source: str = ""
    reason: str = ""
    disposition: Disposition = Disposition.UNKNOWN
    ms: float | None = None


class Ledger:
    """Append-only JSON lines, one per event; each is flushed, ``sync`` makes them durable."""

    def __init__(self, path: Path | None) -> None:
        self.rows: list[LedgerRow] = []
        self._file: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def add(self, row: LedgerRow) -> None:
        self.rows.append(row)
        if self._file is not None:
            fields = row.model_dump(mode="json", exclude_unset=True)
            self._file.write(json.dumps(fields, ensure_ascii=False) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Make all rows durable. It blocks on the disk: call it off the event loop."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


@dataclass
class LedgerEntry:
    """One (PlcBootId, TriggerSeq) as the controller saw it.

    ``results`` are all that reached the controller for it, in order; ``default_reason`` says why
    the controller decided by itself, if it did.
    """

    trigger: LedgerRow
    results: list[LedgerRow] = field(default_factory=list)
    default_reason: str | None = None
    acknowledged_at: float | None = None

    @property
    def key(self) -> Key:
        return self.trigger.plc_boot_id, self.trigger.trigger_seq

    @property
    def part_id(self) -> str:
        return self.trigger.part_id

    @property
    def acknowledged(self) -> bool:
        return self.acknowledged_at is not None

    @property
    def applied(self) -> list[LedgerRow]:
        return [row for row in self.results if row.disposition is Disposition.APPLIED]

    @property
    def late(self) -> int:
        return sum(row.disposition is Disposition.LATE for row in self.results)

    @property
    def action(self) -> str:
        """What happened to the part; empty while it is open."""
        if self.applied:
            return self.applied[0].action
        return "hold" if self.default_reason is not None else ""

    @property
    def source(self) -> str:
        """Who decided what happened to the part."""
        if self.applied:
            return self.applied[0].source
        return "plc_default" if self.default_reason is not None else ""

    @property
    def results_in_window(self) -> int:
        """Results applied, or different result numbers inside the window: above 1, acted twice."""
        kinds = (Disposition.APPLIED, Disposition.DUPLICATE)
        inside = {row.result_seq for row in self.results if row.disposition in kinds}
        return max(len(inside), len(self.applied))

    @property
    def wrong_part(self) -> bool:
        """A result named another part than the one triggered; an unread group names none."""
        return any(row.part_id not in ("", self.trigger.part_id) for row in self.results)


def read_ledger(path: Path) -> list[LedgerEntry]:
    """The entries of a ledger file in trigger order. Raises ``PlcFileError``."""
    return entries_of(read_rows(path, LedgerRow, torn_end=True))


def entries_of(rows: Iterable[LedgerRow]) -> list[LedgerEntry]:
    """The triggers among the rows, each with what followed it."""
    entries: dict[Key, LedgerEntry] = {}
    by_result: dict[tuple[int, int], LedgerEntry] = {}
    for row in rows:
        entry = entries.get((row.plc_boot_id, row.trigger_seq))
        match row.event:
            case "trigger":
                entries[row.plc_boot_id, row.trigger_seq] = LedgerEntry(row)
            case "result" if entry is not None:
                entry.results.append(row)
                by_result[row.plc_boot_id, row.result_seq] = entry
            case "default" if entry is not None:
                entry.default_reason = row.reason
            case "ack":
                acked = by_result.get((row.plc_boot_id, row.result_seq))
                if acked is not None and acked.acknowledged_at is None:
                    acked.acknowledged_at = row.at
    return list(entries.values())


def summarise(entries: Iterable[LedgerEntry]) -> dict[str, object]:
    """Counts over a ledger: the figures that the demo checks Kafka and the history against."""
    found = list(entries)
    latencies = [e.applied[0].ms or 0.0 for e in found if e.applied]
    return {
        "parts": len(found),
        "decided": sum(bool(e.applied) for e in found),
        "acknowledged": sum(e.acknowledged for e in found),
        "defaults": sum(e.default_reason is not None for e in found),
        "undecided": sum(not e.action for e in found),
        "late": sum(e.late for e in found),
        "acted_twice": sum(e.results_in_window > 1 for e in found),
        "wrong_part": sum(e.wrong_part for e in found),
        "by_action": dict(Counter(e.action for e in found if e.action)),
        "by_source": dict(Counter(e.source for e in found if e.source)),
        "latency_ms": {"p50": _quantile(latencies, 0.5), "p99": _quantile(latencies, 0.99)},
    }


def _quantile(values: list[float], share: float) -> float | None:
    return round(percentile(values, share), 2) if values else None


def code_name(kind: type[Enum], code: object) -> str:
    """The book's word for a code that was written to the controller; any number has one.

    >>> from streams.codes import ResultCode
    >>> code_name(ResultCode, 4), code_name(ResultCode, 99)
    ('hold', 'code 99')
    """
    known = {getattr(member, "code", member.value): member.name.lower() for member in kind}
    return known.get(code, f"code {code}")
