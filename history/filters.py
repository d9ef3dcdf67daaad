"""What may be asked of the history: a filter over frames, and where a page continues.

Both hold values only and never SQL.
"""

import base64
import binascii
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Column, ColumnElement, MetaData, Table
from sqlalchemy.dialects.postgresql import JSONB

from history.errors import BadQueryError
from history.facts import FACTS
from history.local_time import DailySpan
from history.tables import METADATA
from history.text import clean
from streams.codes import Action, DecisionSource, Severity


def _view(name: str) -> Table:
    """The view over the tables: its columns are theirs, but for the two that it gathers."""
    decision, ack, anomaly = (
        METADATA.tables[n].c for n in ("decision", "acknowledgement", "anomaly")
    )
    answer = ("outcome", "result_seq", "written_at", "acknowledged_at", "trigger_to_write_ms")
    fact = FACTS.c.review_severity
    columns = (*decision, *(ack[n] for n in answer), anomaly.image_key, anomaly.mask_key, fact)
    gathered = (Column(n, JSONB()) for n in ("review", "other_decisions"))
    return Table(name, MetaData(), *(Column(c.name, c.type) for c in columns), *gathered)


FRAMES = _view("frame_history")
"""One row per decided part: its fact, with what pages and exports show besides."""

_COLUMNS = {"product": "product_id"}


@dataclass(frozen=True)
class FrameFilter:
    """Which frames are meant; None leaves a field open.

    Times have a zone. Frames captured at ``since`` are included, those at ``until`` are not.

    Raises:
        BadQueryError: a time without a zone, or a word that is none of its enumeration.
    """

    product: str | None = None
    line: str | None = None
    station: str | None = None
    part_id: str | None = None
    lot_id: str | None = None
    class_name: str | None = None
    action: str | None = None
    severity: str | None = None
    source: str | None = None
    policy_hash: str | None = None
    expert_version: str | None = None
    shift: DailySpan | None = None
    """Captured at that time of any day."""
    since: datetime | None = None
    until: datetime | None = None
    reviewed: bool | None = None
    passed: bool | None = None

    def __post_init__(self) -> None:
        for name, words in (("action", Action), ("severity", Severity), ("source", DecisionSource)):
            value, known = getattr(self, name), [w.value for w in words]
            if value is not None and value not in known:
                raise BadQueryError(f"{name} {value!r} is not among {', '.join(known)}")
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                raise BadQueryError(f"{name} has no time zone: write 2026-11-23T06:00:00Z")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise BadQueryError(f"until {self.until} is not after since {self.since}")

    def names_parts(self) -> bool:
        """Whether it asks for what the counts of parts do not tell apart: a lot, a serial."""
        return self.lot_id is not None or self.part_id is not None

    def conditions(self, relation: Table) -> list[ColumnElement[bool]]:
        """The filter as conditions on a view or table, with bound values.

        What the relation has no column for is left out: the counts have no exact time.
        """
        c = relation.c
        asked = {_COLUMNS.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        found: list[ColumnElement[bool]] = [
            c[name] == clean(value)
            for name, value in asked.items()
            if name in c and isinstance(value, str)
        ]
        if "captured_at" in c:
            found += [c.captured_at >= self.since] if self.since is not None else []
            found += [c.captured_at < self.until] if self.until is not None else []
        if self.shift is not None:
            found.append(self.shift.holds(c.captured_at if "captured_at" in c else c.quarter))
        if self.reviewed is not None:
            seen = c.review_severity.is_not(None)
            found.append(seen if self.reviewed else ~seen)
        if self.passed is not None:
            found.append(c.action == "pass" if self.passed else c.action != "pass")
        return found


def encode_cursor(captured_at: datetime, frame_id: UUID) -> str:
    """Where a page ended, as a word that is safe in a URL."""
    return base64.urlsafe_b64encode(f"{captured_at.isoformat()} {frame_id}".encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Where the next page begins. Raises ``BadQueryError`` for a word of any other origin."""
    try:
        moment, identity = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        captured_at = datetime.fromisoformat(moment)
        if captured_at.tzinfo is None:
            raise ValueError("no zone")
        return captured_at, UUID(identity)
    except (ValueError, binascii.Error, UnicodeError):
        raise BadQueryError("the page cursor is not one of ours: start without one") from None


_SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(words: str, now: datetime | None = None) -> datetime:
    """The moment that ``30d``, ``2h`` (ago), ``2026-11-23`` or an ISO time names, UTC by default.

    >>> parse_moment("2h", now=datetime(2026, 11, 23, 6, tzinfo=UTC)).isoformat()
    '2026-11-23T04:00:00+00:00'

    Raises:
        BadQueryError: anything else.
    """
    if span := re.fullmatch(r"(\d{1,6})([smhdw])", words.strip()):
        try:
            return (now or datetime.now(UTC)) - timedelta(**{_SPANS[span[2]]: int(span[1])})
        except OverflowError:
            raise BadQueryError(f"{words!r} is before the year 1") from None
    try:
        moment = datetime.fromisoformat(words.strip())
    except ValueError:
        raise BadQueryError(
            f"{words!r} is no time: write 30d, 2h, 2026-11-23 or 2026-11-23T06:00:00Z"
        ) from None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise BadQueryError(f"{words!r} is no time of the years 1 to 9999") from None
