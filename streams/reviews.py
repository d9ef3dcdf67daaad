"""What people say of parts afterwards."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from streams.codes import Action, Severity
from streams.inspections import Event, Moment, Region, Text


class Review(Event):
    """What a person decided afterwards about a frame."""

    event_type: ClassVar[str] = "andon.review.v1"
    review_id: UUID
    frame_id: UUID
    reviewer: Text
    class_name: Text = ""
    severity: Severity
    action: Action | None = None
    comment: Annotated[str, Field(max_length=4096)] = ""
    is_blind: bool = False
    """The reviewer was shown the picture and no verdict: only such a review counts in an audit."""
    is_settlement: bool = False
    """Said where two people had disagreed, by somebody who saw both; it counts as they did."""
    region: Region | None = None
    """Where the reviewer painted the defect; None where nobody did."""
    login: Text = ""
    """How the reviewer is known: ``password``, ``token`` ...; ``declared`` where only stated at a
    prompt, or empty in reviews of before."""
    withdraws: UUID | None = None
    """The review that this one takes back; then it says nothing else."""
    reviewed_at: Moment
