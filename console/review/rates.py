"""The rates that follow from reviews: what escapes, and what is stopped for nothing."""

from dataclasses import asdict

from history.filters import FrameFilter
from history.queries import History
from history.records import Record
from history.review_queue import ReviewQueue
from policies.review.escapes import escape_rate, share_interval


class EscapeFigures(Record):
    """Defects among the parts that passed, from blind audits alone."""

    passed: int
    drawn: int
    reviewed: int
    escapes: int
    undecided: int
    without_picture: int
    not_audited: int
    rate: float | None
    """None without a review."""
    low: float
    high: float
    """Ends of the 95 % interval."""


class FalseAlarmFigures(Record):
    """Good parts among those that were stopped and reviewed."""

    stopped: int
    reviewed: int
    false_alarms: int
    undecided: int
    rate: float | None
    low: float
    high: float
    """Ends of Clopper and Pearson's 95 % interval."""


class ReviewRates(Record):
    """Both rates over a filter."""

    escapes: EscapeFigures
    false_alarms: FalseAlarmFigures


async def read_rates(history: History, queue: ReviewQueue, wanted: FrameFilter) -> ReviewRates:
    """The rates as they stand in the database. Raises ``UnavailableError`` when it is down."""
    escapes = escape_rate(await history.audit_counts(wanted))
    rejects = await queue.rejects(wanted)
    count, reviewed = rejects.false_alarms, rejects.reviewed
    low, high = share_interval(count, reviewed)
    return ReviewRates(
        escapes=EscapeFigures.model_validate(asdict(escapes)),
        false_alarms=FalseAlarmFigures(
            **rejects.model_dump(),
            rate=count / reviewed if reviewed else None,
            low=low,
            high=high,
        ),
    )
