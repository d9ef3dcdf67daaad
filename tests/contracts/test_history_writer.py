"""The contract of ``streams.ports.HistoryWriter``: the twin and PostgreSQL keep it."""

import random
from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import text

from history.database import make_engine
from history.writer import PostgresHistoryWriter
from streams.codes import AckOutcome, Action, DecisionSource
from streams.errors import UnavailableError
from streams.events import Alert
from streams.ports import HistoryWriter
from tests.contracts.twins.history_writer import TwinHistory
from tests.history import make
from tests.streams.made import recipe_request

TABLES = (
    "anomaly",
    "decision",
    "shot_verdict",
    "acknowledgement",
    "review",
    "dead_letter",
    "alert",
    "changeover",
)


class Bench(Protocol):
    """A writer, what it has written, and one whose database is away."""

    writer: HistoryWriter

    async def counts(self) -> dict[str, int]: ...
    async def actions(self) -> list[str]: ...
    def away(self) -> HistoryWriter: ...


class TwinBench:
    def __init__(self) -> None:
        self.writer = TwinHistory()

    async def counts(self) -> dict[str, int]:
        kept = self.writer
        rows = (
            *(kept.anomalies, kept.decisions, kept.verdicts, kept.acks),
            *(kept.reviews, kept.letters, kept.alerts, kept.changeovers),
        )
        return dict(zip(TABLES, map(len, rows), strict=True))

    async def actions(self) -> list[str]:
        return [decision.action.value for decision in self.writer.decisions.values()]

    def away(self) -> HistoryWriter:
        return TwinHistory(down=True)


class PostgresBench:
    def __init__(self, url: str) -> None:
        self.writer = PostgresHistoryWriter(url)
        self.engine = make_engine(url)

    async def counts(self) -> dict[str, int]:
        async with self.engine.connect() as link:
            found = {t: await link.scalar(text(f"SELECT count(*) FROM {t}")) for t in TABLES}
        return {table: count or 0 for table, count in found.items()}

    async def actions(self) -> list[str]:
        async with self.engine.connect() as link:
            return list((await link.scalars(text("SELECT action FROM decision"))).all())

    def away(self) -> HistoryWriter:
        return PostgresHistoryWriter("postgresql+asyncpg://u@127.0.0.1:1/andon", timeout_s=2)


@pytest.fixture(params=["twin", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """Where PostgreSQL is; nowhere for the twin."""
    return request.getfixturevalue("url") if request.param == "postgres" else ""


@pytest_asyncio.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    if not database:
        yield TwinBench()
        return
    made = PostgresBench(database)
    yield made
    await made.writer.close()
    await made.engine.dispose()


def alert(number: int) -> Alert:
    return Alert(
        alert_id=UUID(int=number + 1),
        line="line-1",
        product_id="tile",
        limit="many",
        reason="4 parts were scrap",
        request_stop=False,
        count=4,
        window_parts=50,
        raised_at=make.captured(number),
    )


async def everything(writer: HistoryWriter, numbers: list[int]) -> None:
    """Each kind of event of some parts, in an order that nothing depends on."""
    decided = [make.decision(n) for n in numbers]
    calls = [
        writer.add_reviews([make.review(n) for n in numbers]),
        writer.add_acknowledgements([make.acknowledgement(d) for d in decided]),
        writer.add_decisions(decided),
        writer.add_verdicts([make.verdict(n) for n in numbers]),
        writer.add_anomalies([make.anomaly(n) for n in numbers]),
        writer.add_dead_letters([(make.dead_letter(n), f"dead/{n}") for n in numbers]),
        writer.add_alerts([alert(n) for n in numbers]),
        writer.add_changeovers([recipe_request(step_id=UUID(int=n)) for n in numbers]),
    ]
    random.Random(numbers[0]).shuffle(calls)
    for call in calls:
        await call


@pytest.mark.asyncio
async def test_a_redelivered_batch_changes_nothing(bench: Bench) -> None:
    for _ in range(2):
        await everything(bench.writer, list(range(5)))
    await everything(bench.writer, list(range(3, 8)))
    assert await bench.counts() == dict.fromkeys(TABLES, 8)


@pytest.mark.asyncio
async def test_the_first_row_of_an_identity_stands(bench: Bench) -> None:
    first = make.decision(1, action=Action.HOLD, class_name="crack")
    await bench.writer.add_decisions([first, first])
    await bench.writer.add_decisions([make.decision(1, action=Action.PASS)])
    assert await bench.actions() == ["hold"]


@pytest.mark.asyncio
async def test_a_late_answer_and_a_second_outcome_are_rows_of_their_own(bench: Bench) -> None:
    late = make.decision(1, DecisionSource.CLASSIFIER, Action.SCRAP, "crack", is_late=True)
    await bench.writer.add_decisions([make.decision(1, DecisionSource.FALLBACK, Action.HOLD), late])
    await bench.writer.add_acknowledgements(
        [make.acknowledgement(late, o) for o in (AckOutcome.UNACKNOWLEDGED, AckOutcome.LATE)]
    )
    await bench.writer.add_anomalies([make.anomaly(1), make.anomaly(1, reason="decided")])
    found = await bench.counts()
    assert [found[t] for t in ("decision", "acknowledgement", "anomaly")] == [2, 2, 2]


@pytest.mark.asyncio
async def test_nothing_to_write_is_no_error(bench: Bench) -> None:
    await bench.writer.add_decisions([])
    await bench.writer.add_alerts([])


@pytest.mark.asyncio
async def test_a_database_that_is_away_is_unavailable(bench: Bench) -> None:
    with pytest.raises(UnavailableError):
        await bench.away().add_decisions([make.decision(1)])
