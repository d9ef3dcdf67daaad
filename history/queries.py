"""Reads the history: lists, whole stories, statistics and streams for back-tests."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, Select, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from history.audits import (
    AuditPart,
    AuditQueue,
    drawn_query,
    passed_query,
    queue_query,
    sample_query,
    to_counts,
)
from history.changeovers import ChangeoverRecord, RecordedStep, steps_query, to_changeovers
from history.database import DatabaseClient, connected, errors_translated
from history.errors import BadQueryError, NotInHistoryError
from history.facts import BACKFILL, FACTS, SHOTS
from history.filters import FRAMES, FrameFilter, decode_cursor, encode_cursor
from history.golden import (
    GoldenRun,
    GoldenStatus,
    known_query,
    lines_query,
    runs_query,
    to_status,
)
from history.kept import kept_pictures
from history.reconcile import read_gaps
from history.records import (
    AuditCount,
    FrameRecord,
    Gaps,
    Page,
    Pareto,
    RecordedDecision,
    Stats,
    Story,
)
from history.replayed import recorded, replayed_query
from history.statistics import (
    ParetoBy,
    pareto_query,
    repeated_query,
    stats_query,
    to_pareto,
    to_stats,
)
from history.stories import EVENTS_OF, KeptPicture, shots_of
from history.tables import METADATA
from history.text import whole
from streams.errors import UnavailableError
from streams.events import Region

Query = Select[tuple[object, ...]]
MAX_PAGE = 1000
_STREAM_BATCH = 1000


class History(DatabaseClient):
    """Queries that only read; each raises ``UnavailableError`` when the database is down."""

    role = "read"

    def __init__(self, url: str, pool_size: int = 5, timeout_s: float = 10.0) -> None:
        """Nothing is opened yet.

        Args:
            url: SQLAlchemy URL with the asyncpg driver.
            pool_size: most connections held.
            timeout_s: seconds for one query; for a stream, for each of its batches.
        """
        super().__init__(url, pool_size, timeout_s)
        self._facts_are_whole = False

    async def list_frames(
        self, wanted: FrameFilter | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """Frames, newest first; a page stays where it is while rows arrive (keyset pagination).

        Raises:
            BadQueryError: ``limit`` not in 1 to 1000, or a foreign cursor.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise BadQueryError(f"limit {limit} is not in 1 to {MAX_PAGE}")
        c = FRAMES.c
        query = _frames(wanted).order_by(c.captured_at.desc(), c.frame_id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(tuple_(c.captured_at, c.frame_id) < tuple_(*decode_cursor(cursor)))
        async with self.asking("listing frames") as link:
            found = [_record(row) for row in (await link.execute(query)).mappings()]
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return Page(
            frames=tuple(found[:limit]),
            next_cursor=encode_cursor(last.captured_at, last.frame_id) if last else None,
        )

    async def resolve(self, words: str) -> UUID:
        """The frame that is meant by a frame id, or by the serial number of a part seen once.

        Serial numbers may look like frame ids: one that is in the history is meant first.

        Raises:
            NotInHistoryError: no frame of that part.
            BadQueryError: several; the message names the latest of them.
        """
        wanted = FrameFilter(part_id=words)
        found = (await self.list_frames(wanted, limit=5)).frames if words else ()
        if len(found) > 1:
            ids = ", ".join(str(f.frame_id) for f in found)
            raise BadQueryError(f"part {words!r} has several frames, name one: {ids}")
        if found:
            return found[0].frame_id
        try:
            return UUID(words)
        except ValueError:
            raise NotInHistoryError(
                f"{words!r} is neither a frame id nor a part in the history"
            ) from None

    async def show(self, frame_id: UUID) -> Story:
        """All that is known of the part that was photographed under a frame id.

        Raises:
            NotInHistoryError: nothing is.
        """
        told: dict[str, tuple[dict[str, object], ...]] = {}
        async with self.asking(f"reading {frame_id}") as link:
            shot = select(SHOTS.c.part_frame_id).where(SHOTS.c.frame_id == frame_id)
            part = await link.scalar(shot) or frame_id
            frames = await link.scalar(select(func.part_frames(part))) or [part]
            found = await link.execute(_frames().where(FRAMES.c.frame_id == part))
            row = found.mappings().one_or_none()
            for name, (event, table, order) in EVENTS_OF.items():
                columns = METADATA.tables[table].c
                query = (
                    select(*columns)
                    .where(columns.frame_id.in_(frames))
                    .order_by(columns[order], columns.recorded_at)
                )
                rows = (await link.execute(query)).mappings()
                told[name] = tuple(whole(event, row["event"], dict(row)) for row in rows)
            kept = await kept_pictures(link, frames)
        if not any(told.values()):
            raise NotInHistoryError(f"frame {frame_id} is not in the history")
        shots = shots_of(told["decisions"], told["verdicts"], kept)
        candidates = [frame_id, *(s.frame_id for s in shots if s.frame_id), *sorted(kept)]
        shown = next((frame for frame in candidates if frame in kept), frame_id)
        picture = kept.get(shown, KeptPicture())
        return Story(
            frame_id=part,
            effective=_record(row) if row is not None else None,
            shots=shots,
            shown=shown,
            image_key=picture.image_key,
            mask_key=picture.mask_key,
            **told,
        )

    async def stats(
        self, wanted: FrameFilter | None = None, top: int = 10, time_zone: str = "UTC"
    ) -> Stats:
        """Counts over the effective decisions, first-pass yield, the most frequent rules.

        Days are those of the time zone, an IANA name.
        """
        wanted = wanted or FrameFilter()
        async with self.asking("counting") as link:
            groups = (await link.execute(stats_query(wanted, time_zone))).mappings().all()
            repeated = (await link.execute(repeated_query(wanted))).mappings().one()
        return to_stats(groups, repeated, top)

    async def pareto(
        self, wanted: FrameFilter | None = None, by: ParetoBy = ParetoBy.CLASS, top: int = 10
    ) -> Pareto:
        """Under which names the most parts fall, with their cumulative share."""
        async with self.asking("counting") as link:
            query = pareto_query(wanted or FrameFilter(), by)
            groups = (await link.execute(query)).mappings().all()
        return to_pareto(groups, by, top)

    async def painted(self, reviews: Sequence[UUID]) -> dict[UUID, tuple[UUID, Region]]:
        """What reviewers painted: the frame and the region, by review."""
        c = METADATA.tables["review"].c
        region = c.event["region"]
        query = select(c.review_id, c.frame_id, region).where(c.review_id.in_(list(reviews)))
        query = query.where(func.jsonb_typeof(region) == "object")
        async with self.asking("reading painted outlines") as link:
            rows = (await link.execute(query)).all()
        return {review: (frame, Region.model_validate(told)) for review, frame, told in rows}

    async def audit_counts(self, wanted: FrameFilter | None = None) -> tuple[AuditCount, ...]:
        """How many parts passed, were drawn for blind audits and turned out to be defects."""
        wanted = wanted or FrameFilter()
        async with self.asking("counting audits") as link:
            passed = (await link.execute(passed_query(wanted))).mappings().all()
            drawn = (await link.execute(sample_query(wanted))).mappings().all()
        return to_counts(passed, drawn)

    async def audit_queue(self, wanted: FrameFilter | None = None, limit: int = 1) -> AuditQueue:
        """Parts that passed, were drawn and wait for a blind review."""
        async with self.asking("looking for parts to audit") as link:
            rows = (await link.execute(queue_query(wanted or FrameFilter(), limit))).mappings()
            found = list(rows)
        parts = tuple(AuditPart.model_validate(dict(row)) for row in found)
        return AuditQueue(waiting=found[0]["waiting"] if found else 0, parts=parts)

    async def is_audited(self, part: UUID) -> bool:
        """Whether a part passed and was drawn for blind audits."""
        async with self.asking(f"reading {part}") as link:
            return (await link.execute(drawn_query(part))).one_or_none() is not None

    async def golden_parts(
        self, since: datetime, until: datetime, line: str | None = None
    ) -> tuple[GoldenStatus, ...]:
        """Which golden parts of the policies in force each line has run within a time."""
        async with self.asking("reading golden parts") as link:
            known = (await link.execute(known_query())).mappings().all()
            lines = (await link.execute(lines_query(since, until))).mappings().all()
            runs = (await link.execute(runs_query(since, until))).mappings().all()
        found = to_status(known, lines, [GoldenRun.model_validate(dict(run)) for run in runs])
        return tuple(status for status in found if line in (None, status.line))

    async def golden_runs(self, since: datetime, until: datetime) -> tuple[GoldenRun, ...]:
        """Every run of a golden part within a time, oldest first."""
        async with self.asking("reading golden parts") as link:
            rows = (await link.execute(runs_query(since, until))).mappings()
            return tuple(GoldenRun.model_validate(dict(row)) for row in rows)

    async def stream_decisions(
        self, wanted: FrameFilter | None = None, batch: int = _STREAM_BATCH
    ) -> AsyncGenerator[RecordedDecision, None]:
        """Effective decisions, oldest first, in bounded memory: for back-tests.

        One consistent snapshot, however long it takes. Close the iterator when leaving early
        (``contextlib.aclosing``).

        Args:
            wanted: which frames.
            batch: decisions read at once.
        """
        query = replayed_query(wanted)
        async with aclosing(self._scan(query, batch, "streaming decisions")) as rows:
            async for row in rows:
                yield recorded(row)

    async def export(
        self, wanted: FrameFilter | None = None, batch: int = _STREAM_BATCH
    ) -> AsyncGenerator[FrameRecord, None]:
        """Frames, oldest first, in bounded memory and one consistent snapshot."""
        async with aclosing(self._scan(_frames(wanted), batch, "exporting")) as rows:
            async for row in rows:
                yield _record(row)

    async def _scan(self, query: Query, batch: int, doing: str) -> AsyncGenerator[RowMapping, None]:
        """Rows of the view in order, ``batch`` parts at a time.

        Slices are cut by the index on (captured_at, part_frame_id), before any filter: no
        statement grows with the history.
        """
        c, f = FRAMES.c, FACTS.c
        place, at = tuple_(c.captured_at, c.frame_id), tuple_(f.captured_at, f.part_frame_id)
        ordered = query.order_by(c.captured_at, c.frame_id)
        ends = select(f.captured_at, f.part_frame_id)
        ends = ends.order_by(f.captured_at, f.part_frame_id).limit(1)
        with errors_translated(doing):
            async with self._engine.connect() as link:
                await link.execution_options(isolation_level="REPEATABLE READ")
                await self._check_facts(link)
                low: tuple[datetime, UUID] | None = None
                while True:
                    after = [at > tuple_(*low)] if low is not None else []
                    end = (await link.execute(ends.where(*after).offset(batch - 1))).one_or_none()
                    inside = [place > tuple_(*low)] if low is not None else []
                    inside += [c.captured_at >= low[0]] if low is not None else []
                    inside += [place <= tuple_(*end)] if end is not None else []
                    inside += [c.captured_at <= end[0]] if end is not None else []
                    for row in (await link.execute(ordered.where(*inside))).mappings():
                        yield row
                    if end is None:
                        return
                    low = (end[0], end[1])

    async def changeovers(
        self,
        line: str | None = None,
        station: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
    ) -> tuple[ChangeoverRecord, ...]:
        """Changes of the recipe that were asked for within a time, newest first."""
        query = steps_query(line, station, since, until, limit)
        async with connected(self._engine, self._timeout_s, "reading change-overs") as link:
            rows = (await link.execute(query)).mappings()
            return to_changeovers(RecordedStep.model_validate(dict(row)) for row in rows)

    async def gaps(self, line: str | None = None, since: datetime | None = None) -> Gaps:
        """What is missing from a complete history of a line since a moment.

        One consistent snapshot, however long it takes; each statement has the time of a question.
        """
        with errors_translated("looking for gaps"):
            async with self._engine.connect() as link:
                await link.execution_options(isolation_level="REPEATABLE READ")
                await self._check_facts(link)
                return await read_gaps(link, line, since)

    @asynccontextmanager
    async def asking(self, doing: str) -> AsyncIterator[AsyncConnection]:
        """A connection of which every query sees the same moment, once all facts are there."""
        async with connected(self._engine, self._timeout_s, doing) as link:
            await link.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await self._check_facts(link)
            yield link

    async def _check_facts(self, link: AsyncConnection) -> None:
        """Refuses to answer from a part of the facts: it would look like the whole."""
        if not self._facts_are_whole:
            self._facts_are_whole = bool(await link.scalar(select(BACKFILL.c.is_done)))
        if not self._facts_are_whole:
            raise UnavailableError(
                "the parts that an earlier version recorded are still being prepared: "
                "`andon history migrate` does it now and shows how far it is"
            )


def _frames(wanted: FrameFilter | None = None) -> Query:
    query: Query = select(*(FRAMES.c[name] for name in FrameRecord.model_fields))
    return query.where(*(wanted or FrameFilter()).conditions(FRAMES))


def _record(row: RowMapping) -> FrameRecord:
    return FrameRecord.model_validate({**row, "other_decisions": row["other_decisions"] or ()})
