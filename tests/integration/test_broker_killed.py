"""Apache Kafka is killed while the line runs: every part is decided, none is lost."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.benchmarks.faults import BROKER
from lab.harness.line import LineOptions
from lab.harness.plan import cycle
from lab.harness.settle import settle
from lab.plc.ledger import read_ledger
from streams.codes import DecisionSource
from tests.infra.needs import need_kafka
from tests.integration.conftest import Plant, start_plant, tiny
from tests.integration.faulted import play_with_faults

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PARTS = 200
NORMAL = (DecisionSource.EXPERT, DecisionSource.CLASSIFIER)


@pytest.fixture
def kafka_plant() -> Iterator[Plant]:
    """A plant of its own: nobody else's broker is killed."""
    need_kafka()
    folder = Path(tempfile.mkdtemp(prefix="andon-kafka-plant-"))
    try:
        running = start_plant(folder, "kafka", tiny)
        try:
            yield running
        finally:
            running.stack.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_nothing_is_lost_while_the_broker_is_killed(kafka_plant: Plant, scratch: Path) -> None:
    plan = cycle(kafka_plant.plan, PARTS)
    line = kafka_plant.line(scratch, plan, LineOptions(takt_s=0.5, window_s=3.0))
    said: list[str] = []
    try:
        line.start()
        faults = play_with_faults(line, (BROKER,), said.append)
        ledger = read_ledger(line.ledger)
        _, balance = asyncio.run(settle(kafka_plant.stack.settings(), ledger, PARTS))
        gone = [name for name, role in line.roles.items() if not role.process.running]
    finally:
        line.stop()
    assert not [fault for fault in faults if fault.error], said
    assert not balance.lost, said
    assert not balance.acted_twice
    assert balance.decided == balance.parts == PARTS
    assert not gone, "no process may end with the broker"
    away = [p for p in ledger if p.source not in NORMAL]
    assert away, "the kill met nobody"
    assert any(p.source in NORMAL for p in ledger[-20:]), "the line did not recover"
