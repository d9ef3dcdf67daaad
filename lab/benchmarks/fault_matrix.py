"""The fault matrix: each row is played on the running line and judged by ledger and history."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import psutil

from lab.benchmarks.fault_rows import FaultRow
from lab.benchmarks.faults_schedule import judge
from lab.harness.line import SimulatedLine, TriggerCount
from lab.harness.plan import LinePlan, cycle
from lab.plc.ledger import LedgerEntry, read_ledger
from lab.progress import Say
from streams.errors import AndonError

HOLDS, BROKEN, SKIPPED = "holds", "BROKEN", "not done"
UNSHOWN = "not shown"
"""No promise was broken, but no part came after the fault that anybody could decide."""
_NORMAL = ("expert", "classifier")


@dataclass
class RowFound:
    """One row of the table."""

    row: str
    group: str
    parts: int = 0
    lost: int = 0
    acted_twice: int = 0
    contradictory: int = 0
    recovery_s: float | None = None
    """From the end of the fault to the next part that expert or classifier decided, seconds."""
    back_s: float | None = None
    """Until the victim said that it works, where it does."""
    held: int = 0
    """Parts that neither expert nor classifier decided."""
    verdict: str = SKIPPED
    why: str = ""

    def cells(self) -> list[object]:
        """The row as people read it."""
        recovery = "" if self.recovery_s is None else self.recovery_s
        counts = [self.parts, self.lost, self.acted_twice, self.contradictory]
        return [self.row, self.verdict, *counts, recovery, self.held]


def play_rows(
    line: SimulatedLine,
    plan: LinePlan,
    names: Sequence[str],
    parts: int,
    say: Say,
    known: Mapping[str, FaultRow],
) -> Iterator[RowFound]:
    """Play and judge each row that is named of the known, one after the other on the same line."""
    for name in names:
        row = known[name]
        if row.needs_disk_broker and line.stack.broker_kind == "embedded":
            yield RowFound(name, row.group, why="needs --broker kafka")
            continue
        say(f"{name}: {row.what}")
        found = _played(line, plan, name, row, parts)
        say(f"{name}: {found.verdict} {found.why}".rstrip())
        yield found


def _played(line: SimulatedLine, plan: LinePlan, name: str, row: FaultRow, parts: int) -> RowFound:
    found = RowFound(name, row.group)
    line.plan = cycle(plan, parts)
    line.ledger.unlink(missing_ok=True)
    line.write_plan()
    try:
        over_at = _inject_at(line, row, parts // 3, found)
        line.wait_plc()
        ledger = read_ledger(line.ledger)
        verdict = asyncio.run(judge(line.stack.settings(), ledger, parts))
    except (AndonError, psutil.Error, OSError) as error:
        found.verdict, found.why = BROKEN, str(error)[:500]
        if line.plc is not None:
            line.plc.stop(5)
        return found
    gone = [role for role, process in line.roles.items() if not process.process.running]
    found.parts, found.lost = verdict.parts, verdict.lost
    found.acted_twice, found.contradictory = verdict.acted_twice, verdict.contradictory
    found.recovery_s, found.held = _recovery_s(ledger, over_at), _held(ledger)
    found.why = "; ".join([*(f"{role} ended" for role in gone), *verdict.why])[:500]
    found.verdict = HOLDS if verdict.holds and not gone else BROKEN
    if found.recovery_s is None:
        found.why = f"no part was decided after it; {found.why}"
        found.verdict = BROKEN if found.verdict == BROKEN else UNSHOWN
    return found


def _inject_at(line: SimulatedLine, row: FaultRow, part: int, found: RowFound) -> float:
    """Start the PLC, do it at this part; when it was over, seconds since the epoch."""
    line.start_plc()
    triggers = TriggerCount(line.ledger)
    while line.plc_runs and triggers.count() < part:
        time.sleep(0.02)
    begun = time.time()
    back_s = row.inject(line)
    found.back_s = None if back_s is None else round(back_s, 2)
    return begun if row.group == "kill" else time.time()


def _recovery_s(ledger: Sequence[LedgerEntry], over_at: float) -> float | None:
    """Until the first result by expert or classifier of a part that came after it, seconds."""
    times = [
        row.at - over_at
        for entry in ledger
        if entry.trigger.at >= over_at
        for row in entry.applied
        if row.source in _NORMAL
    ]
    return round(min(times), 2) if times else None


def _held(ledger: Sequence[LedgerEntry]) -> int:
    return sum(entry.source not in _NORMAL for entry in ledger)


def figures_of(found: Sequence[RowFound]) -> dict[str, object]:
    """The table for programs; ``verdict`` is that of the worst row that was played."""
    broken = [one.row for one in found if one.verdict == BROKEN]
    unshown = [one.row for one in found if one.verdict == UNSHOWN]
    names = ("lost", "acted_twice", "contradictory")
    return {
        "rows": [asdict(one) for one in found],
        **{name: sum(getattr(one, name) for one in found) for name in names},
        "broken": broken,
        "unshown": unshown,
        "verdict": BROKEN if broken else UNSHOWN if unshown else HOLDS,
    }
