"""Reading the history: lists, whole stories, statistics, streams for back-tests."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table, cast, func, select, tuple_
from sqlalchemy.types import Text

from history.database import connected, errors_translated, make_engine
from history.errors import BadQueryError, NotInHistoryError
from history.filters import FRAMES, SCAN, FrameFilter, decode_cursor, encode_cursor
from history.reconcile import read_gaps, read_identities
from history.records import (
    FrameRecord,
    Gaps,
    Identities,
    Page,
    RecordedDecision,
    ReviewSummary,
    Stats,
    Story,
)
from history.statistics import stats_query, to_stats
from history.tables import METADATA
from streams.codes import Action, DecisionSource, ReasonCode, Severity
from streams.events import Classification, Inspection

MAX_PAGE = 1000
_STREAM_BATCH = 1000
_STORY = {
    "decisions": ("decision", "decided_at"),
    "acknowledgements": ("acknowledgement", "written_at"),
    "anomalies": ("anomaly", "recorded_at"),
    "reviews": ("review", "reviewed_at"),
    "dead_letters": ("dead_letter", "failed_at"),
}
"""Field of a story -> its table and the column that orders it."""


class History:
    """Read-only queries. Every method raises ``UnavailableError`` when the database is down."""

    def __init__(self, url: str, pool_size: int = 5, timeout_s: float = 10.0) -> None:
        """Nothing is opened yet.

        Args:
            url: SQLAlchemy URL with the asyncpg driver.
            pool_size: most connections held.
            timeout_s: seconds for one query; for a stream, for each of its batches.
        """
        self._engine = make_engine(url, pool_size, timeout_s, role="read")
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def list_frames(
        self, wanted: FrameFilter | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """Frames, newest first, by keyset: a page stays where it is while rows arrive.

        Raises:
            BadQueryError: ``limit`` not in 1 to 1000, or a foreign cursor.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise BadQueryError(f"limit {limit} is not in 1 to {MAX_PAGE}")
        c = FRAMES.c
        query = _frames(wanted).order_by(c.captured_at.desc(), c.frame_id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(tuple_(c.captured_at, c.frame_id) < tuple_(*decode_cursor(cursor)))
        found = [_record(row) for row in await self._rows(query, "listing frames")]
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return Page(
            frames=tuple(found[:limit]),
            next_cursor=encode_cursor(last.captured_at, last.frame_id) if last else None,
        )

    async def resolve(self, words: str) -> UUID:
        """A frame id, from itself or from the serial number of a part seen once.

        Raises:
            NotInHistoryError: no frame of that part.
            BadQueryError: several; the message names the latest of them.
        """
        try:
            return UUID(words)
        except ValueError:
            page = await self.list_frames(FrameFilter(part_id=words), limit=5)
        if not page.frames:
            raise NotInHistoryError(f"{words!r} is neither a frame id nor a part in the history")
        if len(page.frames) > 1:
            ids = ", ".join(str(f.frame_id) for f in page.frames)
            raise BadQueryError(f"part {words!r} has several frames, name one: {ids}")
        return page.frames[0].frame_id

    async def show(self, frame_id: UUID) -> Story:
        """All that is known of a frame.

        Raises:
            NotInHistoryError: nothing is.
        """
        parts: dict[str, tuple[dict[str, Any], ...]] = {}
        async with connected(self._engine, self._timeout_s, f"reading {frame_id}") as link:
            row = (await link.execute(_frames().where(FRAMES.c.frame_id == frame_id))).one_or_none()
            for name, (table, order) in _STORY.items():
                columns = METADATA.tables[table].c
                query = (
                    select(columns.event)
                    .where(columns.frame_id == frame_id)
                    .order_by(columns[order], columns.recorded_at)
                )
                parts[name] = tuple((await link.execute(query)).scalars())
            a = METADATA.tables["anomaly"].c
            keys = (
                await link.execute(
                    select(func.max(a.image_key), func.max(a.mask_key)).where(
                        a.frame_id == frame_id
                    )
                )
            ).one()
        if not any(parts.values()):
            raise NotInHistoryError(f"frame {frame_id} is not in the history")
        return Story(
            frame_id=frame_id,
            effective=_record(row) if row is not None else None,
            image_key=keys[0],
            mask_key=keys[1],
            **parts,
        )

    async def stats(self, wanted: FrameFilter | None = None, top: int = 10) -> Stats:
        """Counts over the effective decisions, first-pass yield, the most frequent rules."""
        query = stats_query(wanted or FrameFilter())
        return to_stats(await self._rows(query, "counting"), top)

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
        async with aclosing(self._scan(_replayed(wanted), batch, "streaming decisions")) as rows:
            async for row in rows:
                yield _recorded(row)

    async def export(
        self, wanted: FrameFilter | None = None, batch: int = _STREAM_BATCH
    ) -> AsyncGenerator[FrameRecord, None]:
        """Frames, oldest first, in bounded memory and one consistent snapshot."""
        async with aclosing(self._scan(_frames(wanted, SCAN), batch, "exporting")) as rows:
            async for row in rows:
                yield _record(row)

    async def _scan(self, query: Select[Any], batch: int, doing: str) -> AsyncGenerator[Any, None]:
        """Rows of the scan view in order, ``batch`` decisions at a time.

        Slices are cut by the index on (captured_at, frame_id), before any filter: no statement
        grows with the history.
        """
        c, d = SCAN.c, METADATA.tables["decision"].c
        place, at = tuple_(c.captured_at, c.frame_id), tuple_(d.captured_at, d.frame_id)
        ordered = query.order_by(c.captured_at, c.frame_id)
        ends = select(d.captured_at, d.frame_id).order_by(d.captured_at, d.frame_id).limit(1)
        with errors_translated(doing):
            async with self._engine.connect() as link:
                await link.execution_options(isolation_level="REPEATABLE READ")
                low: Any = None
                while True:
                    after = [at > tuple_(*low)] if low is not None else []
                    end = (await link.execute(ends.where(*after).offset(batch - 1))).one_or_none()
                    inside = [place > tuple_(*low)] if low is not None else []
                    inside += [c.captured_at >= low[0]] if low is not None else []
                    inside += [place <= tuple_(*end)] if end is not None else []
                    inside += [c.captured_at <= end[0]] if end is not None else []
                    for row in await link.execute(ordered.where(*inside)):
                        yield row
                    if end is None:
                        return
                    low = tuple(end)

    async def count(self, wanted: FrameFilter | None = None) -> int:
        """How many frames."""
        query = select(func.count()).select_from(SCAN)
        query = query.where(*(wanted or FrameFilter()).conditions(SCAN))
        return int((await self._rows(query, "counting"))[0][0])

    async def identities(
        self, line: str | None = None, since: datetime | None = None
    ) -> Identities:
        """Every id that is recorded of a line since a moment, for a reckoning."""
        async with connected(self._engine, self._timeout_s, "reading identities") as link:
            return await read_identities(link, line, since)

    async def gaps(self, line: str | None = None, since: datetime | None = None) -> Gaps:
        """What is missing from a complete history of a line since a moment."""
        async with connected(self._engine, self._timeout_s, "looking for gaps") as link:
            return await read_gaps(link, line, since)

    async def _rows(self, query: Select[Any], doing: str) -> list[Any]:
        async with connected(self._engine, self._timeout_s, doing) as link:
            return list(await link.execute(query))


def _frames(wanted: FrameFilter | None = None, view: Table = FRAMES) -> Select[Any]:
    query = select(*(view.c[name] for name in FrameRecord.model_fields))
    return query.where(*(wanted or FrameFilter()).conditions(view))


def _record(row: Any) -> FrameRecord:
    fields = dict(row._mapping)
    fields["other_decisions"] = fields["other_decisions"] or ()
    return FrameRecord.model_validate(fields)


_REPLAYED = (
    "frame_id",
    "captured_at",
    "line",
    "station",
    "product_id",
    "part_id",
    "lot_id",
    "source",
    "action",
    "severity",
    "class_name",
    "rule",
    "reason_code",
    "reason",
    "policy_hash",
)


def _replayed(wanted: FrameFilter | None) -> Select[Any]:
    c = SCAN.c
    query = select(
        *(c[name] for name in _REPLAYED),
        cast(c.event["inspection"], Text).label("inspection"),
        cast(c.event["classification"], Text).label("classification"),
        c.image_key,
        c.review,
    )
    return query.where(*(wanted or FrameFilter()).conditions(SCAN))


def _recorded(row: Any) -> RecordedDecision:
    frame_id, at, line, station, product, part, lot, source, action, severity, *rest = row
    class_name, rule, code, reason, policy, inspection, classification, image, review = rest
    return RecordedDecision(
        frame_id=frame_id,
        captured_at=at,
        line=line,
        station=station,
        product_id=product,
        part_id=part,
        lot_id=lot,
        source=DecisionSource(source),
        action=Action(action),
        severity=Severity(severity),
        class_name=class_name,
        rule=rule,
        reason_code=ReasonCode(code),
        reason=reason,
        policy_hash=policy,
        inspection=_parsed(Inspection, inspection),
        classification=_parsed(Classification, classification),
        image_key=image,
        review=ReviewSummary.model_validate(review) if review else None,
    )


def _parsed(model: Any, text: str | None) -> Any:
    return None if text is None or text == "null" else model.model_validate_json(text)
