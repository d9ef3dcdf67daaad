"""What first-pass yield, escapes and false alarms are reckoned from, by name and over time.

One reading gives both: how much fell under each name, and under each day, shift or week. Counts of
parts come from the counts that are kept by the quarter of an hour; serials that came more than once
and parts drawn for audits are few, and come from the facts.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Final, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Double,
    RowMapping,
    Select,
    and_,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
)

from history.audits import SAMPLE, may_be_drawn
from history.facts import FACTS
from history.filters import FrameFilter
from history.local_time import DailySpan, local_day, local_time, minute_of_day, minutes
from history.plant_times import PlantTimes
from history.queries import History
from history.records import Record
from history.statistics import counted_parts
from history.tables import METADATA
from streams.codes import Severity

Question = Select[tuple[object, ...]]
_VERSION = METADATA.tables["policy_version"]
_JUDGED = ("action", "review_severity", "is_repeated")
_GOOD = (Severity.NORMAL, Severity.NEGLIGIBLE)
_SAID = (*_GOOD, Severity.DEFECT)
_NO_SHIFT: ColumnElement[object] = literal_column("''::text")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class RatesBy(StrEnum):
    """By what parts are told apart."""

    LINE = "line"
    PRODUCT = "product"
    STATION = "station"
    LOT = "lot"
    CLASS = "class"
    VERSION = "version"
    """The version of the expert that looked at them."""
    POLICY = "policy"
    SHIFT = "shift"


class RatesEvery(StrEnum):
    """How long the spans of a trend are, in the plant's time."""

    DAY = "day"
    SHIFT = "shift"
    WEEK = "week"


_COLUMNS: Final = {
    RatesBy.LINE: "line",
    RatesBy.PRODUCT: "product_id",
    RatesBy.STATION: "station",
    RatesBy.LOT: "lot_id",
    RatesBy.CLASS: "class_name",
    RatesBy.VERSION: "expert_version",
    RatesBy.POLICY: "policy_hash",
}


class AuditedParts(Record):
    """Parts that passed and were drawn for blind audits at one share."""

    share: float
    passed: int = 0
    drawn: int = 0
    reviewed: int = 0
    escapes: int = 0
    undecided: int = 0
    without_picture: int = 0


class RateCount(Record):
    """What the rates of some parts are reckoned from."""

    parts: int = 0
    """Each serial once."""
    passed_first: int = 0
    """Of them: passed when they were first seen."""
    stopped: int = 0
    reviewed: int = 0
    """Stopped and reviewed as normal, negligible or a defect."""
    false_alarms: int = 0
    """Of them: normal or negligible."""
    undecided: int = 0
    """Stopped and reviewed as ``unknown``."""
    not_audited: int = 0
    """Passed under a policy that draws none, or that is not in the history."""
    audits: tuple[AuditedParts, ...] = ()


class NamedCount(Record):
    """The parts of one name."""

    name: str
    count: RateCount


class SpanCount(Record):
    """The parts of one span of a trend."""

    day: date
    """The plant's day: of the calendar, of a shift that on which it began, of a week its first."""
    shift: str = ""
    """The shift of the day; empty for whole days and weeks, and outside of all shifts."""
    count: RateCount


class RateCounts(Record):
    """The parts of a filter by name, the most parts or the latest lot first, and over time."""

    total: RateCount
    names: tuple[NamedCount, ...]
    spans: tuple[SpanCount, ...]


class Columns(Protocol):
    """The columns of a table or of a query."""

    def __getitem__(self, key: str, /) -> ColumnElement[object]: ...


@dataclass(frozen=True)
class RatesQuestion:
    """Which parts are meant, and how they are told apart."""

    wanted: FrameFilter
    by: RatesBy
    every: RatesEvery
    plant: PlantTimes

    def name_of(self, row: Columns) -> ColumnElement[object]:
        """The name under which a row falls; empty outside of all shifts, or of no class."""
        if self.by is RatesBy.SHIFT:
            return self._shift(row["captured_at"])
        return row[_COLUMNS[self.by]]

    def span_of(self, row: Columns) -> tuple[ColumnElement[object], ColumnElement[object]]:
        """The day and the shift of a row."""
        moment, zone = row["captured_at"], self.plant.time_zone
        day, shift = local_day(moment, zone), _NO_SHIFT
        if self.every is RatesEvery.WEEK:
            day = cast(func.date_trunc("week", local_time(moment, zone)), Date)
        if self.every is RatesEvery.SHIFT:
            shift = self._shift(moment)
            early = [span for span in self._spans().values() if span.start >= span.end]
            if early:
                minute = minute_of_day(moment, zone)
                past = [and_(span.holds(moment), minute < minutes(span.end)) for span in early]
                day = day - case((or_(*past), 1), else_=0)
        return day.label("day"), shift.label("shift")

    def _spans(self) -> dict[str, DailySpan]:
        zone = self.plant.time_zone
        return {n: DailySpan(zone, s.start, s.end) for n, s in self.plant.shifts.items()}

    def _shift(self, moment: ColumnElement[object]) -> ColumnElement[object]:
        whens = [(span.holds(moment), name) for name, span in self._spans().items()]
        return case(*whens, else_="") if whens else _NO_SHIFT


async def read_rate_counts(history: History, asked: RatesQuestion) -> RateCounts:
    """Count the parts. Raises ``UnavailableError`` when the database is down."""
    async with history.asking("counting rates") as link:
        by_name = (await link.execute(_by_name(asked))).mappings().all()
        by_span = (await link.execute(_by_span(asked))).mappings().all()
        repeated = (await link.execute(_repeated(asked))).mappings().all()
        drawn = (await link.execute(_drawn(asked))).mappings().all()
    names: dict[str, _Tally] = defaultdict(_Tally)
    spans: dict[tuple[date, str], _Tally] = defaultdict(_Tally)
    total = _Tally()
    for row in by_name:
        names[row["name"]].take_parts(row)
    for row in by_span:
        for tally in (spans[row["day"], row["shift"]], total):
            tally.take_parts(row)
    for row in repeated:
        if row["is_first_of_name"]:
            names[row["name"]].take_repeated(row)
        if row["is_first"]:
            for tally in (spans[row["day"], row["shift"]], total):
                tally.take_repeated(row)
    for row in drawn:
        for tally in (names[row["name"]], spans[row["day"], row["shift"]], total):
            tally.take_drawn(row)
    starts = [shift.start for shift in asked.plant.shifts.values()]
    order = dict(zip(asked.plant.shifts, starts, strict=True))
    return RateCounts(
        total=total.count(),
        names=tuple(
            NamedCount(name=name, count=names[name].count())
            for name in sorted(names, key=lambda name: names[name].rank(asked.by, name))
        ),
        spans=tuple(
            SpanCount(day=day, shift=shift, count=spans[day, shift].count())
            for day, shift in sorted(spans, key=lambda key: (key[0], order.get(key[1], time.max)))
        ),
    )


def _by_name(asked: RatesQuestion) -> Question:
    columns = () if asked.by is RatesBy.SHIFT else (_COLUMNS[asked.by],)
    return _summed(asked.wanted, columns, lambda row: [asked.name_of(row).label("name")])


def _by_span(asked: RatesQuestion) -> Question:
    return _summed(asked.wanted, (), asked.span_of)


def _summed(
    wanted: FrameFilter,
    names: Sequence[str],
    keys_of: Callable[[Columns], Sequence[ColumnElement[object]]],
) -> Question:
    """How many parts of each kind fall under the keys, with the share at which some are drawn."""
    parts = counted_parts(wanted, (*names, *_JUDGED, "policy_hash"))
    own = cast(_VERSION.c.body.op("->>")("audit_share"), Double).label("share")
    shares = select(_VERSION.c.policy_hash, own).offset(0).subquery()  # each policy is read once
    c = parts.c
    of_part = [c[name] for name in _JUDGED]
    columns = [*keys_of(c), *of_part, shares.c.share]
    query: Question = (
        select(
            *columns,
            cast(func.sum(c.n), BigInteger).label("n"),
            func.max(c.captured_at).label("last_at"),
        )
        .select_from(parts.outerjoin(shares, shares.c.policy_hash == c.policy_hash))
        .group_by(*columns)
        .having(func.sum(c.n) > 0)
    )
    return query


def _repeated(asked: RatesQuestion) -> Question:
    """Serials seen more than once: the first time of each, and the first time under each name."""
    c = FACTS.c
    name, (day, shift) = asked.name_of(c).label("name"), asked.span_of(c)
    part, order = (c.product_id, c.part_id), (c.captured_at, c.part_frame_id)
    nth = func.row_number().over(partition_by=part, order_by=order)
    nth_of_name = func.row_number().over(partition_by=(*part, name), order_by=order)
    seen = (
        select(name, day, shift, (c.action == "pass").label("is_passed"))
        .add_columns((nth == 1).label("is_first"), (nth_of_name == 1).label("is_first_of_name"))
        .where(c.is_repeated, *asked.wanted.conditions(FACTS))
        .subquery()
    )
    query: Question = (
        select(*seen.c, func.count().label("n")).where(seen.c.is_first_of_name).group_by(*seen.c)
    )
    return query


def _drawn(asked: RatesQuestion) -> Question:
    """Parts that were drawn for blind audits, and what was said of them."""
    c = SAMPLE.c
    columns = (
        asked.name_of(c).label("name"),
        *asked.span_of(c),
        c.share,
        c.audit_severity,
        c.has_picture,
    )
    query: Question = (
        select(*columns, func.count().label("n"))
        .where(may_be_drawn(c.part_frame_id), *asked.wanted.conditions(SAMPLE))
        .group_by(*columns)
    )
    return query


@dataclass
class _Tally:
    """Adds up rows of the queries."""

    counts: Counter[str] = field(default_factory=Counter)
    audits: dict[float, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    last_at: datetime = _NEVER

    def take_parts(self, row: RowMapping) -> None:
        count, said = row["n"], row["review_severity"]
        self.last_at = max(self.last_at, row["last_at"])
        is_passed = row["action"] == "pass"
        if not row["is_repeated"]:
            self.counts["parts"] += count
            self.counts["passed_first"] += count if is_passed else 0
        if not is_passed:
            self.counts["stopped"] += count
            self.counts["false_alarms"] += count if said in _GOOD else 0
            self.counts["reviewed"] += count if said in _SAID else 0
            self.counts["undecided"] += count if said is not None and said not in _SAID else 0
        elif row["share"]:
            self.audits[row["share"]]["passed"] += count
        else:
            self.counts["not_audited"] += count

    def take_repeated(self, row: RowMapping) -> None:
        self.counts["parts"] += row["n"]
        self.counts["passed_first"] += row["n"] if row["is_passed"] else 0

    def take_drawn(self, row: RowMapping) -> None:
        count, said = row["n"], row["audit_severity"]
        audits = self.audits[row["share"]]
        audits["drawn"] += count
        if said in _SAID:
            audits["reviewed"] += count
            audits["escapes"] += count if said == Severity.DEFECT else 0
        elif said is not None:
            audits["undecided"] += count
        elif not row["has_picture"]:
            audits["without_picture"] += count

    def rank(self, by: RatesBy, name: str) -> tuple[float, str]:
        """Lots follow one another: the latest comes first. Elsewhere what has the most parts."""
        return -(self.last_at.timestamp() if by is RatesBy.LOT else self.counts["parts"]), name

    def count(self) -> RateCount:
        audits = [AuditedParts(share=share, **self.audits[share]) for share in sorted(self.audits)]
        return RateCount(**self.counts, audits=tuple(audits))
