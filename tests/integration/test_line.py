"""The line from trigger to acknowledgement, and while its processes are killed."""

import asyncio
from pathlib import Path

import pytest

from lab.benchmarks.faults import FAULTS
from lab.harness.line import LineOptions
from lab.harness.plan import cycle
from lab.harness.settle import settle
from lab.plc.ledger import read_ledger
from streams.codes import DecisionSource
from tests.integration.conftest import Plant
from tests.integration.faulted import play_with_faults

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PARTS_UNDER_FAULTS = 1000
WORKER_BACK_S = 12.0
"""A killed worker must be at work again within this, seconds."""


def test_parts_are_decided_and_acknowledged(plant: Plant, scratch: Path) -> None:
    line = plant.line(scratch, cycle(plant.plan, 40), LineOptions(takt_s=0.25, window_s=5.0))
    try:
        ready = line.start()
        line.play()
        ledger = read_ledger(line.ledger)
        _, balance = asyncio.run(settle(plant.stack.settings(), ledger, 40, shared_broker=True))
    finally:
        line.stop()
    assert not balance.lost
    assert not balance.acted_twice
    assert balance.decided == balance.acknowledged == balance.parts == 40
    decided = balance.by_source
    assert decided[DecisionSource.EXPERT.value] + decided[DecisionSource.CLASSIFIER.value] == 40
    assert max(ready.values()) < WORKER_BACK_S


def test_nothing_is_lost_while_everything_is_killed(plant: Plant, scratch: Path) -> None:
    plan = cycle(plant.plan, PARTS_UNDER_FAULTS)
    line = plant.line(scratch, plan, LineOptions(takt_s=0.15, window_s=3.0))
    said: list[str] = []
    try:
        line.start()
        faults = play_with_faults(line, FAULTS, said.append)
        ledger = read_ledger(line.ledger)
        _, balance = asyncio.run(
            settle(plant.stack.settings(), ledger, PARTS_UNDER_FAULTS, shared_broker=True)
        )
    finally:
        line.stop()
    assert not [fault for fault in faults if fault.error], said
    assert not balance.lost, said
    assert not balance.acted_twice
    assert balance.decided == balance.parts == PARTS_UNDER_FAULTS
    back = {f.name: f.back_s for f in faults if f.name in ("inspect", "classify", "record")}
    assert all(seconds is not None and seconds < WORKER_BACK_S for seconds in back.values()), back
