"""A seeded schedule of kills and pauses on the whole line, judged by ledger and history."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import psutil

from andon.settings import Settings
from infra.stack.process import ProcessError
from lab.benchmarks.faults import kill, pause
from lab.harness.balance import Balance, OnKafka
from lab.harness.history_reader import read_told
from lab.harness.line import SimulatedLine, TriggerCount
from lab.harness.plan import LinePlan, cycle
from lab.harness.schedule import KILL, Leg, PlannedFault
from lab.harness.schedule_record import LegFound, ScheduleRecord
from lab.harness.settle import settle
from lab.harness.trigger_checker import Found, counted, judged
from lab.plc.ledger import LedgerEntry, read_ledger
from lab.progress import Say
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
) -> tuple[OnKafka, Balance, list[Found]]:
    """What Kafka holds, the balance, and the checker's breaches, of these boots only."""
    kafka, balance = await settle(settings, ledger, planned, shared_broker=True)
    told = await read_told(settings, {entry.key[0] for entry in ledger})
    return kafka, balance, judged(ledger, told, planned)


def play_leg(
    line: SimulatedLine, planned: Sequence[PlannedFault], say: Say
) -> tuple[int, list[PlannedFault], list[str]]:
    """Play the line's plan with these faults.

    Returns:
        How many were done; those that the end of the parts came before; the errors of the rest.

    Raises:
        ProcessError: the PLC did not finish.
    """
    line.ledger.unlink(missing_ok=True)
    line.write_plan()
    line.start_plc()
    triggers = TriggerCount(line.ledger)
    done, left, errors = 0, list(planned), []
    while left:
        while line.plc_runs and triggers.count() < left[0].at_part:
            time.sleep(0.02)
        if not line.plc_runs:
            break
        fault = left.pop(0)
        try:
            if fault.kind == KILL:
                kill(line, fault.victim, fault.seconds)
            else:
                pause(line, fault.victim, fault.seconds)
            done += 1
            say(str(fault))
        except (AndonError, psutil.Error) as error:
            errors.append(f"{fault}: {error}")
            say(errors[-1])
    line.wait_plc()
    return done, left, errors


def run_schedule(
    line: SimulatedLine,
    plan: LinePlan,
    played: Sequence[Leg],
    record: ScheduleRecord,
    say: Say,
) -> None:
    """Play and judge the legs that the record lacks.

    What a leg had no time for is done at the begin of the next.

    Raises:
        ProcessError: the PLC did not finish, or a process ended by itself.
    """
    over = record.left
    for leg in played[len(record.legs) :]:
        begun = time.monotonic()
        line.plan = cycle(plan, leg.parts)
        faults = sorted(
            [*(replace(fault, at_part=1) for fault in over), *leg.faults],
            key=lambda fault: fault.at_part,
        )
        done, over, errors = play_leg(line, faults, say)
        gone = [name for name, role in line.roles.items() if not role.process.running]
        if gone:
            logs = line.folder / "logs"
            raise ProcessError(f"{', '.join(gone)} ended by themselves: see {logs}")
        verdict = asyncio.run(judge(line.stack.settings(), read_ledger(line.ledger), leg.parts))
        found = LegFound(
            leg=leg.number,
            parts=verdict.parts,
            faults=done,
            lost=verdict.lost,
            acted_twice=verdict.acted_twice,
            contradictory=verdict.contradictory,
            run_s=round(time.monotonic() - begun, 1),
            errors=tuple(errors),
            left=tuple(over),
            why=tuple(verdict.why),
        )
        record.add(found)
        say(f"leg {leg.number} of {len(played)}: {found.in_words()}")
