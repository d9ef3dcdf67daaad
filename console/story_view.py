"""A part's story as a page tells it: events read back, and put on one line of time. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from history.records import Story
from streams.events import Acknowledgement, Decision, Review, ShotVerdict

E = TypeVar("E", bound=BaseModel)


@dataclass(frozen=True)
class StoryMoment:
    """Something that happened to the part."""

    at: datetime
    after_ms: float
    """Milliseconds after the picture was taken."""
    kind: str
    """``captured``, ``decided``, ``judged``, ``late``, ``written``, ``acknowledged``, ``window`` or
    ``reviewed``."""
    who: str = ""
    action: str = ""


@dataclass(frozen=True)
class StoryView:
    """Everything that the page shows of a part beside the story itself."""

    decisions: tuple[Decision, ...]
    """The effective one first."""
    verdicts: tuple[ShotVerdict, ...]
    answers: tuple[Acknowledgement, ...]
    reviews: tuple[Review, ...]
    moments: tuple[StoryMoment, ...]
    unreadable: int
    """Events that this build cannot read; the API gives them as they are."""

    @property
    def decision(self) -> Decision | None:
        """The effective decision."""
        return self.decisions[0] if self.decisions else None

    @property
    def answer(self) -> Acknowledgement | None:
        """What became of the effective decision at the PLC, else the first that was heard."""
        meant = [
            a for a in self.answers if self.decision and a.result_id == self.decision.result_id
        ]
        return next(iter((*meant, *self.answers)), None)

    @property
    def used_share(self) -> float | None:
        """How much of the result window was used, 0 to 1."""
        told = self.answer
        if told is None or told.trigger_to_write_ms is None:
            return None
        return min(1.0, max(0.0, told.trigger_to_write_ms / told.result_window_ms))


def view_of(story: Story) -> StoryView:
    """Read the events and put what happened in order."""
    effective = story.effective.result_id if story.effective else None
    decisions = _read(Decision, story.decisions)
    decisions.sort(key=lambda d: (d.result_id != effective, d.decided_at))
    verdicts = _read(ShotVerdict, story.verdicts)
    answers = _read(Acknowledgement, story.acknowledgements)
    reviews = _read(Review, story.reviews)
    given = (*story.decisions, *story.verdicts, *story.acknowledgements, *story.reviews)
    found = (*decisions, *verdicts, *answers, *reviews)
    return StoryView(
        tuple(decisions),
        tuple(verdicts),
        tuple(answers),
        tuple(reviews),
        tuple(_moments(decisions, verdicts, answers, reviews)),
        len(given) - len(found),
    )


def _moments(
    decisions: Sequence[Decision],
    verdicts: Sequence[ShotVerdict],
    answers: Sequence[Acknowledgement],
    reviews: Sequence[Review],
) -> list[StoryMoment]:
    parts = (*decisions, *verdicts, *answers)
    if not parts:
        return []
    captured = min(part.captured_at for part in parts)

    def at(moment: datetime, kind: str, who: str = "", action: str = "") -> StoryMoment:
        return StoryMoment(moment, (moment - captured).total_seconds() * 1000, kind, who, action)

    found = [at(captured, "captured"), at(parts[0].deadline, "window")]
    for verdict in verdicts:
        shot = verdict.shot_name or str(verdict.shot)
        found.append(at(verdict.decided_at, "judged", shot, verdict.action.value))
    for decision in decisions:
        kind = "late" if decision.is_late else "decided"
        found.append(at(decision.decided_at, kind, decision.source.value, decision.action.value))
    for told in answers:
        if told.written_at is not None:
            found.append(at(told.written_at, "written", action=told.action.value))
        if told.acknowledged_at is not None:
            found.append(at(told.acknowledged_at, "acknowledged", action=told.action.value))
    found += [at(r.reviewed_at, "reviewed", r.reviewer) for r in reviews if not r.withdraws]
    return sorted(found, key=lambda moment: moment.at)


def _read(model: type[E], events: Iterable[Mapping[str, object]]) -> list[E]:
    """Those of the events that this build can read."""
    found = []
    for event in events:
        try:
            found.append(model.model_validate(event))
        except ValidationError:
            continue
    return found


def pictured_frames(story: Story) -> list[UUID]:
    """The frames of which a picture is kept, the one that is shown first."""
    kept = [shot.frame_id for shot in story.shots if shot.frame_id and shot.image_key]
    if story.shown is not None and story.image_key:
        kept = [story.shown, *(frame for frame in kept if frame != story.shown)]
    return kept
