"""A seeded schedule of kills and pauses on the whole line, judged by ledger and history."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from andon.settings import Settings
from infra.stack.process import ProcessError
from lab.benchmarks.faults import Say, kill, pause
from lab.harness.checker import Found, counted, judged
from lab.harness.history_reader import read_told
from lab.harness.line import SimulatedLine, TriggerCount
from lab.harness.reckoning import OnKafka, Reckoning
from lab.harness.schedule import KILL, PlannedFault
from lab.harness.settle import settle
from lab.plc.ledger import LedgerEntry, read_ledger
from streams.errors import AndonError


@dataclass
class RunVerdict:
    """What a run under faults comes to, by the ledger, Kafka and the history."""

    parts: int
    lost: int
    acted_twice: int
    contradictory: int
    why: list[str] = field(default_factory=list)
    """The first breaches in words."""

    @property
    def holds(self) -> bool:
        """Nothing was lost, acted on twice or acknowledged contradictorily."""
        return not (self.lost or self.acted_twice or self.contradictory)


async def judge(settings: Settings, ledger: Sequence[LedgerEntry], planned: int) -> RunVerdict:
    """Wait until the history has caught up, then let the checker and the balance judge."""
    _, balance, found = await settled_and_judged(settings, ledger, planned)
    figures = counted(found)
    return RunVerdict(
        parts=len(ledger),
        lost=max(figures["lost"], len(balance.lost)),
        acted_twice=max(figures["acted_twice"], len(balance.acted_twice)),
        contradictory=figures["contradictory"],
        why=[*map(str, found), *balance.lost, *balance.acted_twice][:20],
    )


async def settled_and_judged(
    settings: Settings, ledger: Sequence[LedgerEntry], planned: int
) -> tuple[OnKafka, Reckoning, list[Found]]:
    """What Kafka holds, the balance, and the checker's breaches, of these boots only."""
    kafka, balance = await settle(settings, ledger, planned, shared_broker=True)
    told = await read_told(settings, {entry.key[0] for entry in ledger})
    return kafka, balance, judged(ledger, told, planned)


def play_schedule(line: SimulatedLine, planned: Sequence[PlannedFault], say: Say) -> list[str]:
    """Play the line's plan with these faults; the errors of those that could not be done.

    Raises:
        ProcessError: the PLC did not finish.
    """
    line.start_plc()
    triggers = TriggerCount(line.ledger)
    errors = []
    for fault in planned:
        while line.plc_runs and triggers.count() < fault.at_part:
            time.sleep(0.02)
        if not line.plc_runs:
            errors.append(f"{fault}: the line was over before")
            continue
        try:
            if fault.kind == KILL:
                kill(line, fault.victim, fault.seconds)
            else:
                pause(line, fault.victim, fault.seconds)
        except (AndonError, psutil.Error) as error:
            errors.append(f"{fault}: {error}")
        say(str(fault) if not errors or not errors[-1].startswith(str(fault)) else errors[-1])
    line.wait_plc()
    return errors


def run_schedule(
    line: SimulatedLine, planned: Sequence[PlannedFault], say: Say
) -> dict[str, object]:
    """Play and judge; the figures of the run.

    Raises:
        ProcessError: the PLC did not finish.
    """
    parts = len(line.plan.parts)
    begun = time.monotonic()
    errors = play_schedule(line, planned, say)
    gone = [name for name, role in line.roles.items() if not role.process.running]
    if gone:
        raise ProcessError(f"{', '.join(gone)} ended by themselves: see {line.folder / 'logs'}")
    result = asyncio.run(judge(line.stack.settings(), read_ledger(line.ledger), parts))
    return {
        "parts": result.parts,
        "faults": len(planned) - len(errors),
        "lost": result.lost,
        "acted_twice": result.acted_twice,
        "contradictory": result.contradictory,
        "run_s": round(time.monotonic() - begun, 1),
        "not_done": errors[:20],
        "why": result.why,
        "verdict": "holds" if result.holds else "BROKEN",
    }
