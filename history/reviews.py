"""Reviews, which say what a person decided afterwards; they travel on ``andon.reviews``."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from history.console_audit import DECLARED
from history.errors import BadQueryError
from streams.codes import Action, Severity
from streams.envelope import to_message
from streams.events import Region, Review
from streams.ids import new_frame_id
from streams.ports import Publisher
from streams.topics import REVIEWS


@dataclass(frozen=True)
class ReviewerSaid:
    """What a review says besides."""

    login: str = ""
    """How the reviewer is known."""
    region: Region | None = None
    """Where the reviewer painted the defect."""
    is_settlement: bool = False
    """Said where two people had disagreed."""


SELF_DECLARED: Final = ReviewerSaid(login=DECLARED)
"""Of a review at a prompt: whoever is there says who it is."""


def build_withdrawal(of: Review) -> Review:
    """The review that takes another one back; it is of the same person."""
    return Review(
        review_id=new_frame_id(),
        frame_id=of.frame_id,
        reviewer=of.reviewer,
        severity=Severity.UNKNOWN,
        login=of.login,
        withdraws=of.review_id,
        reviewed_at=datetime.now(UTC),
    )


def build_review(
    frame_id: UUID,
    reviewer: str,
    severity: Severity | str,
    class_name: str = "",
    action: Action | str | None = None,
    comment: str = "",
    reviewed_at: datetime | None = None,
    is_blind: bool = False,
    said: ReviewerSaid | None = None,
) -> Review:
    """A review with an identity of its own; a second one of the same frame supersedes it.

    Raises:
        BadQueryError: no reviewer, or a word that is none of its enumeration.
    """
    if not reviewer.strip():
        raise BadQueryError("a review needs the name of its reviewer")
    try:
        return Review(
            review_id=new_frame_id(),
            frame_id=frame_id,
            reviewer=reviewer,
            class_name=class_name,
            severity=Severity(severity),
            action=Action(action) if action else None,
            comment=comment,
            is_blind=is_blind,
            **({} if said is None else vars(said)),
            reviewed_at=reviewed_at or datetime.now(UTC),
        )
    except ValidationError as error:
        problems = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
        raise BadQueryError(f"the review cannot be taken: {problems}") from None
    except ValueError as error:
        raise BadQueryError(
            f"{error}: severities are {', '.join(Severity)}; actions are {', '.join(Action)}"
        ) from None


async def submit_review(publisher: Publisher, review: Review) -> None:
    """Publish; returns once the broker has it. Raises ``UnavailableError``."""
    await publisher.send(REVIEWS.name, to_message(review))
