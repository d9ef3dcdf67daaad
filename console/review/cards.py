"""What a reviewer is shown of a part, and what is kept from him. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from console.outlines import outline_path
from console.review.verdict import ReviewClass
from console.story_view import pictured_frames, view_of
from history.pictures import region_of
from history.records import Record, Story
from history.review_queue import ReferencePart, WaitingFor
from streams.codes import Action, ReasonCode, Severity
from streams.events import Region

_MOST_PIECES: Final = 200
_FAINTEST: Final = 0.35


class SaidBefore(Record):
    """What one person said of the part."""

    reviewer: str
    severity: Severity
    class_name: str
    comment: str


class LineVerdict(Record):
    """What the line had decided."""

    action: Action
    severity: Severity
    class_name: str
    reason_code: ReasonCode
    reason: str
    rule: str
    confidence: float | None
    score: float | None
    threshold: float | None


class OddPiece(Record):
    """One piece of the odd region, and how odd it is."""

    path: str
    """Around it, as a path of SVG in pixels of the picture."""
    strength: float
    """0 to 1: its highest score beside those of the other pieces."""


class ReviewPicture(Record):
    """One photograph of the part."""

    frame_id: UUID
    width: int = 0
    height: int = 0
    """In pixels; 0 where nothing says it."""
    outline: str = ""
    """Path of SVG around what the expert found; empty on a blind card."""
    pieces: tuple[OddPiece, ...] = ()


class ReviewCard(Record):
    """A part as its reviewer sees it; a blind one says nothing of any verdict."""

    frame_id: UUID
    """The part."""
    waits_for: WaitingFor | None
    is_blind: bool
    line: str
    station: str
    product_id: str
    part_id: str
    lot_id: str
    captured_at: datetime
    pictures: tuple[ReviewPicture, ...]
    references: tuple[ReferencePart, ...] = ()
    decision: LineVerdict | None = None
    said: tuple[SaidBefore, ...] = ()


@dataclass(frozen=True)
class GivenCard:
    """A card with what is needed to read its verdict."""

    card: ReviewCard
    classes: tuple[ReviewClass, ...]


def card_of(
    story: Story, waits_for: WaitingFor | None, references: Sequence[ReferencePart]
) -> ReviewCard:
    """The card of a part that was decided.

    Args:
        story: of the part.
        waits_for: why it is reviewed; None where somebody chose it.
        references: good parts beside it.
    """
    found = story.effective
    assert found is not None
    is_blind = waits_for is not None and waits_for.is_blind
    shown = tuple(_picture(story, frame, is_blind) for frame in pictured_frames(story))
    card = ReviewCard(
        frame_id=story.frame_id,
        waits_for=waits_for,
        is_blind=is_blind,
        line=found.line,
        station=found.station,
        product_id=found.product_id,
        part_id=found.part_id,
        lot_id=found.lot_id,
        captured_at=found.captured_at,
        pictures=shown,
        references=tuple(references),
    )
    if is_blind:
        return card
    view = view_of(story)
    inspection = view.decision.inspection if view.decision is not None else None
    decision: LineVerdict | None = LineVerdict(
        action=Action(found.action),
        severity=Severity(found.severity),
        class_name=found.class_name,
        reason_code=ReasonCode(found.reason_code),
        reason=found.reason,
        rule=found.rule,
        confidence=found.confidence,
        score=found.score,
        threshold=inspection.threshold if inspection is not None else None,
    )
    back = {review.withdraws for review in view.reviews}
    if waits_for is WaitingFor.DISAGREEMENT and found.action == Action.PASS:
        decision = None  # what settles an audit counts in it: the line's word stays out of it
    said = tuple(
        SaidBefore(
            reviewer=review.reviewer,
            severity=review.severity,
            class_name=review.class_name,
            comment=review.comment,
        )
        for review in view.reviews
        if review.withdraws is None and review.review_id not in back
    )
    return card.model_copy(update={"decision": decision, "said": said})


def _picture(story: Story, frame: UUID, is_blind: bool) -> ReviewPicture:
    region = region_of(story, frame)
    if region is None:
        return ReviewPicture(frame_id=frame)
    size = {"width": region.image_width, "height": region.image_height}
    if is_blind:
        return ReviewPicture(frame_id=frame, **size)
    outline = outline_path(region)
    return ReviewPicture(frame_id=frame, outline=outline, pieces=_pieces(outline, region), **size)


def _pieces(outline: str, region: Region) -> tuple[OddPiece, ...]:
    """The closed paths of an outline, each as odd as the piece of the region that is nearest."""
    paths = [f"{path}Z" for path in outline.split("Z") if path][:_MOST_PIECES]
    peaks = [blob.peak for blob in region.blobs]
    if not peaks:
        return tuple(OddPiece(path=path, strength=1.0) for path in paths)
    least, span = min(peaks), max(peaks) - min(peaks)
    found = []
    for path in paths:
        points = [tuple(map(float, word.split())) for word in path[1:-1].split("L")]
        x, y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
        near = min(region.blobs, key=lambda b: (b.centroid_x - x) ** 2 + (b.centroid_y - y) ** 2)
        share = (near.peak - least) / span if span > 0 else 1.0
        found.append(OddPiece(path=path, strength=round(_FAINTEST + (1 - _FAINTEST) * share, 3)))
    return tuple(found)
