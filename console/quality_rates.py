"""First-pass yield, escapes and false alarms with intervals: by name, over time, as CSV."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from history.export.lines import csv_line
from history.plant_times import PlantTimes
from history.rates import RateCount, RateCounts, RatesEvery, RatesQuestion, SpanCount
from history.records import Record
from policies.review.escapes import escape_rate, share_interval

NAMES: Final = 50
"""Names that are shown to people."""
MOST: Final = 10_000
"""Names of one answer for programs."""
_DAYS: Final = {RatesEvery.DAY: 1, RatesEvery.SHIFT: 1, RatesEvery.WEEK: 7}


class ShownShare(Record):
    """A share of counted parts with its 95 % interval."""

    count: int
    of: int
    rate: float | None
    """None where nothing was counted. Escapes are weighed by how many passed at each share."""
    low: float
    high: float


class ShownRates(Record):
    """The three rates of some parts."""

    parts: int
    """Each serial once."""
    stopped: int
    first_pass: ShownShare
    """Passed when they were first seen, of the parts."""
    false_alarms: ShownShare
    """Normal or negligible, of the stopped parts that were reviewed."""
    escapes: ShownShare
    """Defects, of the blindly reviewed parts that had passed."""
    not_audited: int
    """Passed under a policy that draws none for audits: in no rate of escapes."""


class NamedRates(Record):
    """The rates of one line, product, lot, ..."""

    name: str
    """Empty for no class, no lot, or outside of all shifts."""
    rates: ShownRates


class SpanRates(Record):
    """The rates of one day, shift or week."""

    day: date
    """The plant's day: of the calendar, of a shift that on which it began, of a week its first."""
    shift: str
    since: datetime | None
    """None outside of all shifts."""
    until: datetime | None
    rates: ShownRates


class QualityRates(Record):
    """The rates of a filter: of all its parts, by name and over time."""

    by: str
    every: str
    time_zone: str
    names: int
    """How many there are; the rows may be fewer."""
    total: ShownRates
    rows: tuple[NamedRates, ...]
    """The most parts first; of lots the latest."""
    spans: tuple[SpanRates, ...]
    """Those with parts, the oldest first."""


def quality_rates(asked: RatesQuestion, counts: RateCounts, top: int) -> QualityRates:
    """The rates from what was counted.

    Args:
        asked: how the parts were told apart.
        counts: what was counted.
        top: the most names.
    """
    return QualityRates(
        by=asked.by.value,
        every=asked.every.value,
        time_zone=asked.plant.time_zone,
        names=len(counts.names),
        total=_rates(counts.total),
        rows=tuple(
            NamedRates(name=one.name, rates=_rates(one.count)) for one in counts.names[:top]
        ),
        spans=tuple(_span(asked, one) for one in counts.spans),
    )


def _rates(count: RateCount) -> ShownRates:
    escapes = escape_rate(count.audits)
    return ShownRates(
        parts=count.parts,
        stopped=count.stopped,
        first_pass=_share(count.passed_first, count.parts),
        false_alarms=_share(count.false_alarms, count.reviewed),
        escapes=ShownShare(
            count=escapes.escapes,
            of=escapes.reviewed,
            rate=escapes.rate,
            low=escapes.low,
            high=escapes.high,
        ),
        not_audited=count.not_audited,
    )


def _share(count: int, trials: int) -> ShownShare:
    low, high = share_interval(count, trials)
    rate = count / trials if trials else None
    return ShownShare(count=count, of=trials, rate=rate, low=low, high=high)


def _span(asked: RatesQuestion, one: SpanCount) -> SpanRates:
    since: datetime | None = None
    until: datetime | None = None
    if one.shift or asked.every is not RatesEvery.SHIFT or not asked.plant.shifts:
        since, until = asked.plant.span(one.day, _DAYS[asked.every], one.shift)
    return SpanRates(
        day=one.day, shift=one.shift, since=since, until=until, rates=_rates(one.count)
    )


def places_of(spans: Sequence[SpanRates], every: RatesEvery, plant: PlantTimes) -> list[int]:
    """The number of each span in time, from the first on; those that have no parts count too.

    >>> monday, weekly = date(2026, 11, 23), RatesEvery.WEEK
    >>> days = (monday, monday + timedelta(days=14))
    >>> spans = [SpanRates.model_construct(day=day, shift="") for day in days]
    >>> places_of(spans, weekly, PlantTimes())
    [0, 2]
    """
    slots = [""]
    if every is RatesEvery.SHIFT:
        outside = any(not span.shift for span in spans)
        slots = sorted(plant.shifts, key=lambda name: plant.shifts[name].start)
        slots += [""] if outside else []
    step = timedelta(days=_DAYS[every])
    return [
        (span.day - spans[0].day) // step * len(slots) + slots.index(span.shift) for span in spans
    ]


_KINDS: Final = ("first_pass", "false_alarms", "escapes")
_FIELDS: Final = ("count", "of", "rate", "low", "high")


def rates_csv(found: QualityRates, over_time: bool) -> Iterator[str]:
    """The table by name, or the trend, with a header line."""
    keys = ("day", "shift", "since", "until") if over_time else (found.by,)
    shares = [f"{kind}_{name}" for kind in _KINDS for name in _FIELDS]
    yield csv_line([*keys, "parts", "stopped", *shares, "not_audited"])
    for row in found.spans if over_time else found.rows:
        if isinstance(row, SpanRates):
            own: tuple[object, ...] = (row.day, row.shift, *map(_iso, (row.since, row.until)))
        else:
            own = (row.name,)
        rates = row.rates
        values = [getattr(getattr(rates, kind), name) for kind in _KINDS for name in _FIELDS]
        yield csv_line([*own, rates.parts, rates.stopped, *values, rates.not_audited])


def _iso(at: datetime | None) -> str:
    return at.isoformat() if at is not None else ""
