"""Writes what the role record receives to PostgreSQL, in batches that may be sent again."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import ARRAY, Insert, Table, Text, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from history import rows
from history.database import connected, make_engine
from history.errors import RefusedRowError
from history.migrate import build_indexes, current, upgrade, write_facts
from history.months import ForeignFramesError, add_months, divide_tables
from history.tables import METADATA, TOPIC_TABLES
from streams.backoff import backoff_s
from streams.changeovers import ChangeoverStep
from streams.errors import UnavailableError
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    DeadLetter,
    Decision,
    Review,
    ShotVerdict,
)
from streams.failures import Cause, TransientError, cause_of

E = TypeVar("E")
_DAY_S = 24 * 3600.0


class PostgresHistoryWriter:
    """``streams.ports.HistoryWriter`` over PostgreSQL.

    A batch is one transaction. A row whose identity is there already is left as it is, so that a
    batch may be sent again after any failure. Rows are sent in the order of their identity:
    writers that overlap wait for each other and never deadlock.
    """

    def __init__(
        self, url: str, pool_size: int = 5, timeout_s: float = 10.0, migrate: bool = True
    ) -> None:
        """Nothing is opened yet.

        Args:
            url: SQLAlchemy URL with the asyncpg driver.
            pool_size: most connections held.
            timeout_s: seconds for one batch, waiting for a connection included.
            migrate: bring the schema to this build's, before the first batch at the latest.
        """
        self._url, self._migrated, self._migrating = url, not migrate, asyncio.Lock()
        self._migrates = migrate
        self._beside: list[asyncio.Task[None]] = []
        self._engine = make_engine(url, pool_size, timeout_s, role="record")
        self._timeout_s = timeout_s
        self._inserts = {name: _insert(METADATA.tables[name]) for name in TOPIC_TABLES}

    async def add_anomalies(self, events: Sequence[Anomaly]) -> None:
        """Raises ``UnavailableError``; ``RefusedRowError`` for a value that no row can hold."""
        await self._add("anomaly", rows.anomaly_row, events)

    async def add_decisions(self, events: Sequence[Decision]) -> None:
        """Raises ``UnavailableError``; ``RefusedRowError`` for a value that no row can hold."""
        await self._add("decision", rows.decision_row, events)

    async def add_verdicts(self, events: Sequence[ShotVerdict]) -> None:
        """Raises ``UnavailableError``; ``RefusedRowError`` for a value that no row can hold."""
        await self._add("shot_verdict", rows.verdict_row, events)

    async def add_acknowledgements(self, events: Sequence[Acknowledgement]) -> None:
        """Raises ``UnavailableError``; ``RefusedRowError`` for a value that no row can hold."""
        await self._add("acknowledgement", rows.acknowledgement_row, events)

    async def add_reviews(self, events: Sequence[Review]) -> None:
        """Raises ``UnavailableError``; ``RefusedRowError`` for a value that no row can hold."""
        await self._add("review", rows.review_row, events)

    async def add_dead_letters(self, events: Sequence[tuple[DeadLetter, str]]) -> None:
        """Raises ``UnavailableError``; ``RefusedRowError`` for a value that no row can hold."""
        await self._add("dead_letter", rows.dead_letter_row, events)

    async def add_alerts(self, events: Sequence[Alert]) -> None:
        """Raises ``UnavailableError``; ``RefusedRowError`` for a value that no row can hold."""
        await self._add("alert", rows.alert_row, events)

    async def add_changeovers(self, events: Sequence[ChangeoverStep]) -> None:
        """Raises ``UnavailableError``; ``RefusedRowError`` for a value that no row can hold."""
        await self._add("changeover", rows.changeover_row, events)

    async def close(self) -> None:
        """Close the connections."""
        await self._end_beside()
        await self._engine.dispose()

    async def _end_beside(self) -> None:
        for task in self._beside:
            task.cancel()
            await asyncio.wait([task])
        self._beside.clear()

    async def _add(self, table: str, to_row: Callable[[E], rows.Row], events: Sequence[E]) -> None:
        if not events:
            return
        keys = [c.name for c in METADATA.tables[table].primary_key.columns]
        batch = sorted(map(to_row, events), key=lambda row: [str(row[key]) for key in keys])
        await self.prepare()
        try:
            await self._insert(table, batch)
        except TransientError as error:
            if error.cause is Cause.NOT_PREPARED and self._migrates:
                await self._look_again()
            raise
        except RefusedRowError as error:
            if len(batch) == 1 or error.cause is Cause.NOT_ALLOWED:  # all of them alike
                raise
            refused = await self._halves(table, batch)
            if refused:
                said = "; ".join(str(error) for error in refused[:5])
                count = f"{len(refused)} of {len(batch)} rows"
                raise RefusedRowError(refused[0].cause, f"{count}: {said}") from None

    async def prepare(self) -> None:
        """Migrate once, when the database first answers: record may start while it is down.

        Raises:
            UnavailableError: it does not answer, or lacks what only its owner may make.
        """
        if self._migrated:
            return
        async with self._migrating:
            if not self._migrated:
                await upgrade(self._url)
                self._migrated = True
                await self._end_beside()
                work = (self._prepare_old_parts(), self._make_months())
                self._beside = [asyncio.create_task(one) for one in work]

    async def _look_again(self) -> None:
        """The database was made anew or restored meanwhile. One of an earlier schema is migrated by
        the next batch. An empty one is left alone: who restores a backup needs it so, and what
        would be recorded before that is not read from Kafka again.

        Raises:
            UnavailableError: it is empty, or does not answer.
        """
        if await current(self._url):
            self._migrated = False
            return
        said = (
            "PostgreSQL has lost the history's tables: its database was made anew. "
            "`andon history restore` fills it from a backup, `andon history migrate` makes them "
            "empty; nothing is recorded until then, and nothing is lost meanwhile"
        )
        raise TransientError(Cause.NOT_PREPARED, said)

    async def _prepare_old_parts(self) -> None:
        """The facts of what an earlier version recorded, then indexes, then tables by month, beside
        the recording.

        `andon history` says meanwhile that not all facts are there.
        """
        for attempt in itertools.count(1):
            try:
                await write_facts(self._url)
                await build_indexes(self._url)
                await divide_tables(self._url)
                return
            except ForeignFramesError:  # `andon history migrate` says which; all else goes on
                return
            except UnavailableError as error:
                if cause_of(error) is Cause.NOT_PREPARED:  # who owns the tables migrates them
                    return
                await asyncio.sleep(backoff_s(attempt, 1.0, 60.0))

    async def _make_months(self) -> None:
        """Parts for the months to come, now and once a day: events of a month without one go to
        the part for all others, from which they are moved when theirs is made."""
        for attempt in itertools.count(1):
            try:
                await add_months(self._url)
                await asyncio.sleep(_DAY_S)
            except UnavailableError:
                await asyncio.sleep(backoff_s(attempt, 1.0, 600.0))

    async def _halves(self, table: str, batch: Sequence[rows.Row]) -> list[RefusedRowError]:
        """After a refusal the rows that PostgreSQL takes go in, halved until the others stand
        alone: few statements for one bad row among many."""
        refused: list[RefusedRowError] = []
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            try:
                await self._insert(table, half)
            except RefusedRowError as error:
                refused += [error] if len(half) == 1 else await self._halves(table, half)
        return refused

    async def _insert(self, table: str, batch: Sequence[rows.Row]) -> None:
        doing = f"writing {len(batch)} rows of {table}"
        async with connected(self._engine, self._timeout_s, doing) as connection:
            columns = {name: [row[name] for row in batch] for name in batch[0]}
            await connection.execute(self._inserts[table], columns)


def _insert(table: Table) -> Insert:
    """One statement for a whole batch, each column as an array, however many rows there are.

    The triggers that write the facts run once for each statement.
    """
    columns = [column for column in table.columns if column.name != rows.BY_DATABASE]
    sent = [Text() if isinstance(c.type, JSONB) else c.type for c in columns]
    arrays = (bindparam(c.name, type_=ARRAY(kind)) for c, kind in zip(columns, sent, strict=True))
    names = [column.name for column in columns]
    batch = func.unnest(*arrays).table_valued(*names, name="batch").render_derived()
    values = (
        cast(batch.c[c.name], JSONB) if isinstance(c.type, JSONB) else batch.c[c.name]
        for c in columns
    )
    return insert(table).from_select(names, select(*values)).on_conflict_do_nothing()
