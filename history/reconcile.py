"""Whether the history is complete and its facts are true, as far as it shows by itself."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Table,
    case,
    cast,
    except_all,
    func,
    or_,
    select,
    tuple_,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from history.facts import COUNTS, FACTS, SHOTS
from history.months import first_kept, read_months
from history.numbering import (
    TAKEN,
    contradicted_parts,
    lost_messages,
    numbered_twice,
    of_line,
    trigger_holes,
)
from history.records import Gaps
from history.tables import METADATA
from streams.ids import minted_at

_DECISION = METADATA.tables["decision"]
_ACK = METADATA.tables["acknowledgement"]
_ANOMALY = METADATA.tables["anomaly"]
_UNCOMPARED = ("part_frame_id", "is_repeated")
"""A part stays marked as repeated when the other one is corrected: harmless, and not compared."""
_SLICE = 20_000


async def read_gaps(link: AsyncConnection, line: str | None, since: datetime | None) -> Gaps:
    """Parts without a decision or an answer, answered twice, or with a wrong fact."""
    edge, ends = await _kept(link)
    known = union(
        *(_parts(table, line, since).where(*_whole(table, edge)) for table in (_ACK, _ANOMALY))
    ).subquery()
    decided = select(FACTS.c.part_frame_id).where(FACTS.c.part_frame_id == known.c.part)
    answered = select(_ACK.c.frame_id).where(_ACK.c.frame_id == FACTS.c.part_frame_id)
    unanswered = select(FACTS.c.part_frame_id).where(
        *of_line(FACTS, line, since), ~answered.exists()
    )
    twice = (
        select(_ACK.c.frame_id)
        .where(*of_line(_ACK, line, since), TAKEN)
        .group_by(_ACK.c.frame_id)
        .having(func.count(_ACK.c.result_id.distinct()) > 1)
    )
    golden = select(_DECISION.c.frame_id).where(
        _DECISION.c.frame_id == known.c.part, _DECISION.c.is_golden
    )
    undecided = select(known.c.part).where(~decided.exists(), ~golden.exists())
    found = [
        tuple(sorted((await link.execute(query)).scalars()))
        for query in (undecided, unanswered, twice)
    ]
    false_facts: set[UUID] = set()
    async for low, high in _slices(link, since):
        false_facts.update((await link.execute(_false_facts(line, since, low, high))).scalars())
    late = select(func.count(), func.count(FACTS.c.written_at)).where(
        *of_line(FACTS, line, since), FACTS.c.outcome == "late"
    )
    late_parts, written_late = (await link.execute(late)).one()
    contradicted = (await link.execute(contradicted_parts(line, since))).scalars()
    quarters = tuple((await link.execute(_false_counts(line, since, edge, ends))).scalars())
    return Gaps(
        undecided=found[0],
        unanswered=found[1],
        decided_twice=found[2],
        false_facts=tuple(sorted(false_facts)),
        false_counts=quarters,
        contradicted=tuple(sorted(contradicted)),
        holes=await trigger_holes(link, line, since),
        twice_numbered=await numbered_twice(link, line, since),
        lost=await lost_messages(link, since),
        late=late_parts,
        written_late=written_late,
    )


async def _kept(link: AsyncConnection) -> tuple[UUID, datetime | None]:
    """The frame with which the months begin that retention has left, and when the last one ends.

    Frames outside of them were minted by a clock that was wrong.
    """
    parts = await read_months(link)
    ends = [part.ends for part in parts if part.table == _DECISION.name and part.ends]
    return first_kept(parts) or UUID(int=0), minted_at(max(ends)) if ends else None


def _whole(table: Table, edge: UUID) -> list[ColumnElement[bool]]:
    """But for the later photographs of a part whose month was dropped."""
    part = SHOTS.c.part_frame_id
    return [or_(part.is_(None), part >= edge, table.c.frame_id < edge)]


async def _slices(
    link: AsyncConnection, since: datetime | None
) -> AsyncIterator[tuple[UUID | None, UUID | None]]:
    """Spans of frames, each after the first and up to the second: no statement grows with all.

    A check of what was captured since a moment is one span.
    """
    frame, low = _DECISION.c.frame_id, None
    while since is None:
        after = _inside(frame, low, None)
        query = select(frame).where(*after).order_by(frame).offset(_SLICE - 1).limit(1)
        high = await link.scalar(query)
        if high is None:
            break
        yield low, high
        low = high
    yield low, None


def _inside(column: Column[UUID], low: UUID | None, high: UUID | None) -> list[ColumnElement[bool]]:
    lower = [] if low is None else [column > low]
    return lower + ([] if high is None else [column <= high])


def _parts(table: Table, line: str | None, since: datetime | None) -> Select[UUID]:
    """The parts that the events of a table are about."""
    part = func.coalesce(SHOTS.c.part_frame_id, table.c.frame_id)
    joined = table.outerjoin(SHOTS, SHOTS.c.frame_id == table.c.frame_id)
    return select(part.label("part")).select_from(joined).where(*of_line(table, line, since))


def _false_facts(
    line: str | None, since: datetime | None, low: UUID | None, high: UUID | None
) -> Select[UUID]:
    """Parts of a span of frames of which the fact is not what the insert-only tables say."""
    key = FACTS.c.part_frame_id
    kept = select(key.label("part")).where(*of_line(FACTS, line, since), *_inside(key, low, high))
    decided = _parts(_DECISION, line, since).where(*_inside(_DECISION.c.frame_id, low, high))
    parts = union(decided, kept).cte()
    asked = select(func.array_agg(parts.c.part)).scalar_subquery()
    names = [column.name for column in FACTS.columns]
    said = func.effective_facts(asked).table_valued(*FACTS.columns).alias("said")
    kept_fact = (
        select(FACTS).where(FACTS.c.part_frame_id.in_(select(parts.c.part))).subquery("kept")
    )
    same = [name for name in names if name not in _UNCOMPARED]
    differs = tuple_(*(said.c[n] for n in same)).is_distinct_from(
        tuple_(*(kept_fact.c[n] for n in same))
    )
    both = said.join(kept_fact, said.c.part_frame_id == kept_fact.c.part_frame_id, full=True)
    part = func.coalesce(said.c.part_frame_id, kept_fact.c.part_frame_id)
    return select(part).select_from(both).where(differs)


def _false_counts(
    line: str | None, since: datetime | None, edge: UUID, ends: datetime | None
) -> Select[datetime]:
    """Quarters of an hour that have facts, and counts that are not those of the facts.

    Counts stay when facts are dropped, so that quarters outside of the months that are left are not
    compared. The first quarter of a month with which the facts begin is left out: where the month
    before was dropped, a part on the border went with it or stayed.
    """
    quarter = func.date_bin(timedelta(minutes=15), FACTS.c.captured_at, _EPOCH)
    names = [c.name for c in COUNTS.columns if c.name not in ("quarter", "key", "parts")]
    fact = FACTS.alias().c
    of_months = func.min(fact.captured_at).filter(fact.part_frame_id >= edge)
    oldest = func.coalesce(of_months, func.min(fact.captured_at))
    least = func.date_bin(timedelta(minutes=15), oldest, _EPOCH)
    begins_a_month = func.date_trunc("month", least, "UTC") == least
    whole = select(case((begins_a_month, least + timedelta(minutes=15)), else_=least))
    first = whole.scalar_subquery()
    wanted = [COUNTS.c.line == line] if line is not None else []
    wanted += [COUNTS.c.quarter >= since] if since is not None else []
    wanted += [COUNTS.c.quarter < ends] if ends is not None else []
    counted = select(COUNTS.c.quarter, *(COUNTS.c[n] for n in names), COUNTS.c.parts).where(
        COUNTS.c.parts != 0, COUNTS.c.quarter >= first, *wanted
    )
    inside = [FACTS.c.line == line] if line is not None else []
    inside += [quarter >= since] if since is not None else []
    inside += [quarter >= first]
    inside += [quarter < ends] if ends is not None else []
    dimensions = [quarter, *(FACTS.c[n] for n in names)]
    seen = select(*dimensions, cast(func.count(), BigInteger)).where(*inside).group_by(*dimensions)
    differing = union(
        except_all(counted, seen).subquery().select(), except_all(seen, counted).subquery().select()
    ).subquery()
    return select(differing.c.quarter).distinct().order_by(differing.c.quarter)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
