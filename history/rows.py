"""Turns events into rows. Every text is cleaned, ``event`` carries the whole event as JSON."""

from enum import Enum
from functools import cache

from pydantic import BaseModel

from history.tables import (
    AcknowledgementRow,
    AlertRow,
    AnomalyRow,
    ChangeoverRow,
    DeadLetterRow,
    DecisionRow,
    ReviewRow,
    ShotVerdictRow,
    Table,
)
from history.text import clean, event_json
from streams.changeovers import ChangeoverStep
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    DeadLetter,
    Decision,
    Event,
    Review,
    ShotVerdict,
)
from streams.ids import image_key, mask_key

Row = dict[str, object]
BY_DATABASE = "recorded_at"
"""The one column that the database fills in."""


def anomaly_row(event: Anomaly) -> Row:
    """The row of an anomaly.

    Its picture is under ``image_key`` however it travelled: record copies what a ``dataref`` names.
    """
    frame, inspection = event.frame, event.inspection
    mask = mask_key(frame.frame_id) if inspection.region is not None else None
    image = image_key(frame.frame_id)
    return _row(AnomalyRow, event, frame, inspection, image_key=image, mask_key=mask)


def decision_row(event: Decision) -> Row:
    """The row of a decision; what nobody asks for by column is in ``event``."""
    is_golden = event.golden is not None
    return _row(DecisionRow, event, event.inspection, event.classification, is_golden=is_golden)


def verdict_row(event: ShotVerdict) -> Row:
    """The row of what one shot was judged."""
    return _row(ShotVerdictRow, event, part_frame_id=event.part_identity)


def acknowledgement_row(event: Acknowledgement) -> Row:
    """The row of what became of one result at the PLC; ``event`` has what no column states."""
    columns = frozenset(AcknowledgementRow.model_fields)
    return _row(AcknowledgementRow, event, without=columns)


def review_row(event: Review) -> Row:
    """The row of a review."""
    return _row(ReviewRow, event)


def dead_letter_row(letter: tuple[DeadLetter, str]) -> Row:
    """The row of a dead letter, with the object key of its original bytes."""
    event, object_key = letter
    return _row(DeadLetterRow, event, object_key=clean(object_key))


def alert_row(event: Alert) -> Row:
    """The row of a limit that was exceeded."""
    return _row(AlertRow, event, limit_name=clean(event.limit))


def changeover_row(event: ChangeoverStep) -> Row:
    """The row of one step of a change of the recipe."""
    return _row(ChangeoverRow, event)


def _row(
    table: type[Table],
    event: Event,
    *parts: BaseModel | None,
    without: frozenset[str] = frozenset(),
    **stated: object,
) -> Row:
    """Each column from the event or from the first of its parts that has a field of its name.

    A column that none of them has is what is stated, or its default: a part may be absent.
    ``without`` are fields that the column ``event`` leaves to other columns.
    """
    sources = [event, *(part for part in parts if part is not None)]
    row: Row = {
        name: default if index is None else _plain(getattr(sources[index], name))
        for name, index, default in _plan(table, tuple(map(type, sources)))
    }
    return {**row, "event": event_json(event, without), **stated}


@cache
def _plan(
    table: type[Table], sources: tuple[type[BaseModel], ...]
) -> tuple[tuple[str, int | None, object], ...]:
    """For each column the number of the source that has it, and the column's default."""
    found = []
    for name, column in table.model_fields.items():
        if name not in ("event", BY_DATABASE):
            having = (n for n, source in enumerate(sources) if name in source.model_fields)
            found.append((name, next(having, None), column.default))
    return tuple(found)


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return clean(value) if isinstance(value, str) else value
