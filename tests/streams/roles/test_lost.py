"""What retention took before a role had read it is one dead letter, told beside the role's work."""

import asyncio
from pathlib import Path

import pytest

from infra.stack.broker import Broker
from streams.codes import LOST_TO_RETENTION
from streams.kafka.faust_app import RoleApp
from streams.kafka.retention import LostSpan
from streams.roles import runner
from streams.roles.record import RecordRole
from streams.roles.record_core import RECORDED
from streams.roles.results import Results
from streams.topics import DECISIONS
from tests.contracts.twins.history_writer import TwinHistory
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.streams.roles.line import config, running
from tests.waiting import until

SPAN = LostSpan(DECISIONS.name, 0, 40, 99)


async def found(*_: object) -> tuple[LostSpan, ...]:
    """As a broker would say whose log begins at offset 100."""
    return (SPAN,)


@pytest.mark.asyncio
async def test_a_span_is_recorded_with_its_offsets(
    fresh_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "find_lost", found)
    own, history = config("record", fresh_broker.bootstrap_servers, tmp_path), TwinHistory()

    def role(results: Results) -> RecordRole:
        return RecordRole(history, InMemoryImageStore(), results)

    async with running(own, RECORDED, role):
        await until(lambda: bool(history.letters), 20)
    ((letter, _),) = history.letters.values()
    assert (letter.error_type, letter.topic, letter.offset) == (LOST_TO_RETENTION, SPAN.topic, 40)


@pytest.mark.asyncio
async def test_what_is_lost_while_the_role_runs_is_recorded_too(
    fresh_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = asyncio.Queue[LostSpan]()
    monkeypatch.setattr(RoleApp, "lost", lambda _: spans.get())
    own, history = config("record", fresh_broker.bootstrap_servers, tmp_path), TwinHistory()

    def role(results: Results) -> RecordRole:
        return RecordRole(history, InMemoryImageStore(), results)

    async with running(own, RECORDED, role):
        for first in (40, 70):
            spans.put_nowait(LostSpan(DECISIONS.name, 0, first, first + 9))
        await until(lambda: len(history.letters) == 2, 20)
    assert {letter.offset for letter, _ in history.letters.values()} == {40, 70}


@pytest.mark.asyncio
async def test_a_letter_that_nobody_takes_holds_up_neither_work_nor_end(
    fresh_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(runner, "find_lost", found)
    monkeypatch.setattr(Results, "lost", never)
    own = config("record", fresh_broker.bootstrap_servers, tmp_path)

    def role(results: Results) -> RecordRole:
        return RecordRole(TwinHistory(), InMemoryImageStore(), results)

    async with asyncio.timeout(60), running(own, RECORDED, role):
        await asked.wait()
