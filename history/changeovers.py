"""Changes of the recipe as the history has them: from what to what, how they ended, how long each
stage took. The steps are events of ``andon.changeovers``; here they are told as one story each."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select

from history.records import Record
from history.tables import METADATA
from streams.changeovers import ChangeoverPhase
from streams.codes import FaultCode, Stage

Question = Select[tuple[object, ...]]
_STEP = METADATA.tables["changeover"]


class RecordedStep(Record):
    """One step of a change-over, as its row has it."""

    changeover_id: UUID
    phase: str
    stage: str
    line: str
    station: str
    recipe: int
    recipe_name: str
    recipe_before: int
    product_id: str
    policy_hash: str
    expert_version: str
    fault_code: int
    reason: str
    at: datetime
    took_ms: float


class ChangeoverEnd(StrEnum):
    """How a change of the recipe ended."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    """The controller asked for another recipe meanwhile, or started anew."""
    OPEN = "open"
    """It is under way, or the gateway ended before it did."""


class ChangeoverStage(Record):
    """How long one stage took."""

    stage: str
    """``exposure`` (waited for), ``inspect``, ``camera``, ``drain`` (of parts captured before)."""
    took_ms: float


class ChangeoverRecord(Record):
    """One change of a station's recipe."""

    changeover_id: UUID
    line: str
    station: str
    recipe_before: int
    """Its number; 0: none was in force."""
    recipe: int
    recipe_name: str
    product_id: str
    policy_hash: str
    """What the stages found in force; empty where none answered."""
    expert_version: str
    requested_at: datetime
    ended_at: datetime | None
    ended: ChangeoverEnd
    fault: str
    """The name of the FaultCode that the controller was told; ``NONE`` without."""
    reason: str
    took_ms: float | None
    """From the request to the answer at the controller."""
    stages: tuple[ChangeoverStage, ...]


def steps_query(
    line: str | None,
    station: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> Question:
    """The steps of the newest ``limit`` change-overs that began within a time, told together."""
    began = func.min(_STEP.c.at)
    place: list[ColumnElement[bool]] = []
    place += [_STEP.c.line == line] if line is not None else []
    place += [_STEP.c.station == station] if station is not None else []
    newest = select(_STEP.c.changeover_id, began.label("began")).where(*place)
    newest = newest.group_by(_STEP.c.changeover_id).order_by(began.desc()).limit(limit)
    newest = newest.having(began >= since) if since is not None else newest
    newest = newest.having(began < until) if until is not None else newest
    chosen = newest.subquery()
    query: Question = (
        select(*(_STEP.c[name] for name in RecordedStep.model_fields))
        .join(chosen, chosen.c.changeover_id == _STEP.c.changeover_id)
        .order_by(chosen.c.began.desc(), _STEP.c.changeover_id, _STEP.c.at)
    )
    return query


def to_changeovers(steps: Iterable[RecordedStep]) -> tuple[ChangeoverRecord, ...]:
    """The change-overs of the steps of ``steps_query``, newest first."""
    told = groupby(steps, key=attrgetter("changeover_id"))
    return tuple(_told(list(own)) for _, own in told)


def _told(steps: Sequence[RecordedStep]) -> ChangeoverRecord:
    own = [step for step in steps if step.stage == Stage.GATEWAY.value]
    ends = (ChangeoverPhase.ACKNOWLEDGED.value, ChangeoverPhase.REFUSED.value)
    end = next((step for step in own if step.phase in ends), None)
    first = (own or steps)[0]
    answer = next((step for step in steps if step.stage != Stage.GATEWAY.value), None)
    last = end or answer or first
    requested_at = first.at - timedelta(milliseconds=first.took_ms if own else 0.0)
    return ChangeoverRecord(
        changeover_id=first.changeover_id,
        line=first.line,
        station=first.station,
        recipe=first.recipe,
        recipe_name=first.recipe_name,
        recipe_before=first.recipe_before,
        product_id=first.product_id,
        policy_hash=answer.policy_hash if answer else "",
        expert_version=answer.expert_version if answer else "",
        requested_at=requested_at,
        ended_at=end.at if end else None,
        ended=_ended(end),
        fault=_fault(last.fault_code),
        reason=last.reason,
        took_ms=end.took_ms if end else None,
        stages=tuple(_stages(requested_at, own, answer, end)),
    )


def _ended(end: RecordedStep | None) -> ChangeoverEnd:
    if end is None:
        return ChangeoverEnd.OPEN
    if end.phase == ChangeoverPhase.ACKNOWLEDGED.value:
        return ChangeoverEnd.ACKNOWLEDGED
    return ChangeoverEnd.REFUSED if end.fault_code else ChangeoverEnd.SUPERSEDED


def _fault(code: int) -> str:
    try:
        return FaultCode(code).name
    except ValueError:  # of a newer version
        return str(code)


def _stages(
    requested_at: datetime,
    own: Sequence[RecordedStep],
    answer: RecordedStep | None,
    end: RecordedStep | None,
) -> Iterable[ChangeoverStage]:
    """What lies between the steps; a stage of which an end is not on record is left out."""

    def of(phase: ChangeoverPhase) -> RecordedStep | None:
        return next((step for step in own if step.phase == phase.value), None)

    asked, prepared = of(ChangeoverPhase.REQUESTED), of(ChangeoverPhase.PREPARED)
    is_told = end is not None and end.phase == ChangeoverPhase.ACKNOWLEDGED.value
    marks = [
        ("exposure", asked),
        ("inspect", answer),
        ("camera", prepared),
        ("drain", end if prepared is not None and is_told else None),
    ]
    before: datetime | None = requested_at
    for name, step in marks:
        after = step.at if step is not None else None
        if before is not None and after is not None:
            took_ms = max((after - before).total_seconds() * 1000, 0.0)
            yield ChangeoverStage(stage=name, took_ms=round(took_ms, 1))
        before = after
