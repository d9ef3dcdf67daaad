"""Reads recorded decisions with what the policy saw, for back-tests."""

from dataclasses import MISSING, fields
from typing import TypeVar

from pydantic import BaseModel
from sqlalchemy import RowMapping, Select, cast, select
from sqlalchemy.types import Text

from history.filters import FRAMES, FrameFilter
from history.records import RecordedDecision, ReviewSummary
from streams.codes import Action, DecisionSource, ReasonCode, Severity
from streams.events import Classification, Inspection

Query = Select[tuple[object, ...]]
M = TypeVar("M", bound=BaseModel)

_REPLAYED = tuple(field.name for field in fields(RecordedDecision) if field.default is MISSING)


def replayed_query(wanted: FrameFilter | None) -> Query:
    """What a back-test reads of the frames of a filter."""
    c = FRAMES.c
    from_event = {name: cast(c.event[name], Text) for name in ("inspection", "classification")}
    columns = (
        from_event[name].label(name) if name in from_event else c[name] for name in _REPLAYED
    )
    query: Query = select(*columns)
    return query.where(*(wanted or FrameFilter()).conditions(FRAMES))


def recorded(row: RowMapping) -> RecordedDecision:
    """A row of ``replayed_query`` as the policy sees it."""
    typed = {
        "source": DecisionSource(row["source"]),
        "action": Action(row["action"]),
        "severity": Severity(row["severity"]),
        "reason_code": ReasonCode(row["reason_code"]),
        "inspection": _parsed(Inspection, row["inspection"]),
        "classification": _parsed(Classification, row["classification"]),
        "review": ReviewSummary.model_validate(row["review"]) if row["review"] else None,
    }
    return RecordedDecision(**{**{name: row[name] for name in _REPLAYED}, **typed})


def _parsed(model: type[M], text: str | None) -> M | None:
    return None if text is None or text == "null" else model.model_validate_json(text)
