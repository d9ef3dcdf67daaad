"""Tells what each shot of a part contributed, from the recorded events. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ValidationError

from history.records import ShotStory
from streams.events import (
    Acknowledgement,
    Anomaly,
    DeadLetter,
    Decision,
    Review,
    ShotSummary,
    ShotVerdict,
)

Event = Mapping[str, object]
EVENTS_OF: Final[Mapping[str, tuple[type[BaseModel], str, str]]] = {
    "decisions": (Decision, "decision", "decided_at"),
    "acknowledgements": (Acknowledgement, "acknowledgement", "written_at"),
    "anomalies": (Anomaly, "anomaly", "recorded_at"),
    "reviews": (Review, "review", "reviewed_at"),
    "dead_letters": (DeadLetter, "dead_letter", "failed_at"),
    "verdicts": (ShotVerdict, "shot_verdict", "decided_at"),
}
"""For each field of a story: its events, their table, and the column that orders it."""


@dataclass(frozen=True)
class KeptPicture:
    """The object keys of one frame's picture and of its region."""

    image_key: str | None = None
    mask_key: str | None = None


def shots_of(
    decisions: Iterable[Event], verdicts: Sequence[Event], kept: Mapping[UUID, KeptPicture]
) -> tuple[ShotStory, ...]:
    """One for each shot that the part's decision lists; empty for a part of a single one.

    Of a part that was decided without its shots, as by the watchdog, those that have a verdict.
    """
    summaries = [summary for event in decisions for summary in _listed(event)]
    listed = {summary.shot for summary in summaries}
    for event in verdicts:
        summary = _summary(event)
        if summary is not None and summary.shot not in listed:
            summaries.append(summary)
            listed.add(summary.shot)
    frames = {shot: frame for shot, frame in map(_frame, verdicts) if frame is not None}
    return tuple(
        _story(summary, summary.frame_id or frames.get(summary.shot), kept)
        for summary in sorted(summaries, key=lambda summary: summary.shot)
    )


def _story(
    summary: ShotSummary, frame_id: UUID | None, kept: Mapping[UUID, KeptPicture]
) -> ShotStory:
    picture = kept.get(frame_id, KeptPicture()) if frame_id is not None else KeptPicture()
    return ShotStory(
        shot=summary.shot,
        name=summary.name,
        frame_id=frame_id,
        source=summary.source.value if summary.frame_id is not None else "missing",
        action=summary.action.value,
        severity=summary.severity.value,
        class_name=summary.class_name,
        score=summary.score,
        image_key=picture.image_key,
        mask_key=picture.mask_key,
    )


def _listed(event: Event) -> tuple[ShotSummary, ...]:
    try:
        return Decision.model_validate(event).shots
    except ValidationError:
        return ()


def _summary(event: Event) -> ShotSummary | None:
    try:
        verdict = ShotVerdict.model_validate(event)
    except ValidationError:
        return None
    fields = {name: getattr(verdict, name, None) for name in ShotSummary.model_fields}
    score = verdict.inspection.score if verdict.inspection is not None else None
    return ShotSummary.model_validate(fields | {"name": verdict.shot_name, "score": score})


def _frame(event: Event) -> tuple[int, UUID | None]:
    """A late shot is missing in the decision and known by its verdict."""
    summary = _summary(event)
    return (0, None) if summary is None else (summary.shot, summary.frame_id)
