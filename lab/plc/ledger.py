"""The simulated controller's own book: what it triggered, was told, and did. Ground truth."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import IO, Any

from connectors.errors import PlanError
from streams.codes import DecisionSource

APPLIED = "applied"
LATE = "late"
DUPLICATE = "duplicate"
UNKNOWN = "unknown"


class Ledger:
    """Append-only JSON lines, one per event; each is flushed, ``sync`` makes them durable."""

    def __init__(self, path: Path | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self._file: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def add(self, event: str, **fields: Any) -> None:
        """One row."""
        row = {"event": event, **fields}
        self.rows.append(row)
        if self._file is not None:
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Blocks on the disk: call it off the event loop."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


@dataclass
class LedgerEntry:
    """One (PlcBootId, TriggerSeq) as the controller saw it."""

    plc_boot_id: int
    trigger_seq: int
    part_id: str
    product_id: str = ""
    triggered_at: float = 0.0
    """Seconds since the epoch."""
    results: list[dict[str, Any]] = field(default_factory=list)
    """Every result that reached the controller for this trigger, in order."""
    default_reason: str | None = None
    """Why the controller decided by itself, if it did."""
    acknowledged_at: float | None = None

    @property
    def applied(self) -> list[dict[str, Any]]:
        return [row for row in self.results if row["disposition"] == APPLIED]

    @property
    def late(self) -> int:
        return sum(row["disposition"] == LATE for row in self.results)

    @property
    def action(self) -> str:
        """What happened to the part; empty while it is open."""
        if self.applied:
            return str(self.applied[0]["action"])
        return "hold" if self.default_reason is not None else ""

    @property
    def source(self) -> str:
        """Who decided what happened to the part."""
        if self.applied:
            return str(self.applied[0]["source"])
        return "plc_default" if self.default_reason is not None else ""

    @property
    def acted_twice(self) -> bool:
        """Two results applied, or two different result numbers inside the window."""
        inside = {r["result_seq"] for r in self.results if r["disposition"] in (APPLIED, DUPLICATE)}
        return len(self.applied) > 1 or len(inside) > 1

    @property
    def wrong_part(self) -> bool:
        """A result named another part than the one triggered; an unread group names none."""
        return any(row["part_id"] not in ("", self.part_id) for row in self.results)


def read_ledger(path: Path) -> list[LedgerEntry]:
    """The entries of a ledger file in trigger order.

    Raises:
        PlanError: the file is not a ledger; a torn last line is ignored.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise PlanError(f"{path}:{number}: not a ledger row: {error}") from error
    return entries_of(rows)


def entries_of(rows: Iterable[dict[str, Any]]) -> list[LedgerEntry]:
    """Rows to entries."""
    entries: dict[tuple[int, int], LedgerEntry] = {}
    by_result: dict[tuple[int, int], LedgerEntry] = {}
    for row in rows:
        key = (row.get("plc_boot_id", 0), row.get("trigger_seq", 0))
        entry = entries.get(key)
        match row["event"]:
            case "trigger":
                entries[key] = LedgerEntry(
                    *key, row["part_id"], row.get("product_id", ""), row["at"]
                )
            case "result" if entry is not None:
                entry.results.append(row)
                by_result[(key[0], row["result_seq"])] = entry
            case "default" if entry is not None:
                entry.default_reason = row["reason"]
            case "ack":
                acked = by_result.get((key[0], row["result_seq"]))
                if acked is not None and acked.acknowledged_at is None:
                    acked.acknowledged_at = row["at"]
    return list(entries.values())


def summarise(entries: Iterable[LedgerEntry]) -> dict[str, Any]:
    """Counts over a ledger: the figures that the demo checks Kafka and the history against."""
    found = list(entries)
    latencies = sorted(e.applied[0]["ms"] for e in found if e.applied)
    return {
        "parts": len(found),
        "decided": sum(bool(e.applied) for e in found),
        "acknowledged": sum(e.acknowledged_at is not None for e in found),
        "defaults": sum(e.default_reason is not None for e in found),
        "undecided": sum(not e.action for e in found),
        "late": sum(e.late for e in found),
        "acted_twice": sum(e.acted_twice for e in found),
        "wrong_part": sum(e.wrong_part for e in found),
        "by_action": dict(Counter(e.action for e in found if e.action)),
        "by_source": dict(Counter(e.source for e in found if e.source)),
        "latency_ms": {"p50": _quantile(latencies, 0.5), "p99": _quantile(latencies, 0.99)},
    }


def _quantile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)


def code_name(kind: type[IntEnum], code: int) -> str:
    """The book's word for a code that was written to the controller; any number has one."""
    try:
        return kind(code).name.lower()
    except ValueError:
        return f"code {code}"


def source_name(code: int) -> str:
    """As :func:`code_name`, for ``DecisionSource``."""
    return DecisionSource.from_code(code).value if 1 <= code <= len(DecisionSource) else f"{code}"
