"""Versions of experts that wait for a second person, read from the audit. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from console.second_person import unanswered
from history.console_audit import WrittenDeed

REQUEST: Final = "model.request"
USE: Final = "model.use"
ROLLBACK: Final = "model.rollback"
_ANSWERS: Final = ("model.approve", "model.refuse", "model.withdraw")
ACTIONS: Final = (REQUEST, *_ANSWERS, USE, ROLLBACK)


class ModelRequest(BaseModel):
    """A version that somebody wants in force, and that waits for a second person."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    number: int
    product: str
    to: str
    """Digest; empty for the version before."""
    replaces: str
    """What was in force when it was asked for; empty: nothing was."""
    by: str
    reason: str
    at: datetime


def open_requests(rows: Sequence[WrittenDeed]) -> dict[str, ModelRequest]:
    """The request of each product that nobody has answered.

    Args:
        rows: of the actions in ``ACTIONS``, oldest first.
    """
    return {
        product: ModelRequest(
            number=row.number,
            product=product,
            to=row.after,
            replaces=row.before,
            by=row.actor,
            reason=row.reason,
            at=row.at,
        )
        for product, row in unanswered(rows, REQUEST).items()
    }


def is_first_answer(rows: Sequence[WrittenDeed], request: ModelRequest, number: int) -> bool:
    """Whether a row is what ended a request: of two who answer at once one is first in the chain.

    Args:
        rows: of the actions in ``ACTIONS``, oldest first.
        number: of the row.
    """
    later = (r.number for r in rows if r.object == request.product and r.number > request.number)
    return next(later, None) == number
