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
_NONE: Final = "-"
ACTIONS: Final = (REQUEST, *_ANSWERS, USE, ROLLBACK)


class VersionPair(BaseModel):
    """An expert with its exemplars: what is in force, or what somebody wants."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    expert: str
    """Digest; empty: none."""
    exemplars: str | None = None
    """Digest of the bundle. Of what is in force, None: there are none. Of a wish, None: those in
    force stay, and empty: none shall be in force."""

    @property
    def words(self) -> str:
        """As the audit keeps it.

        >>> VersionPair(expert="ab", exemplars="cd").words
        'ab cd'
        """
        exemplars = "" if self.exemplars is None else f" {self.exemplars or _NONE}"
        return f"{self.expert}{exemplars}"

    @classmethod
    def read(cls, words: str) -> "VersionPair":
        """What ``words`` said.

        >>> [VersionPair.read(words).exemplars for words in ("ab", "ab -", "ab cd")]
        [None, '', 'cd']
        """
        expert, _, said = words.partition(" ")
        return cls(expert=expert, exemplars="" if said == _NONE else said or None)

    def over(self, now: "VersionPair") -> "VersionPair":
        """What is in force once this wish came true.

        >>> VersionPair.read("new").over(VersionPair.read("old cd")).words
        'new cd'
        """
        kept = now.exemplars if self.exemplars is None else self.exemplars or None
        return VersionPair(expert=self.expert, exemplars=kept)


class ModelRequest(BaseModel):
    """A version that somebody wants in force, and that waits for a second person."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    number: int
    product: str
    to: str
    """Digest of the expert, also where the version before was asked for."""
    exemplars: str | None = None
    """Digest of the exemplars; null: those in force stay; empty: none shall be."""
    replaces: str
    """The expert in force when it was asked for; empty: none was."""
    replaces_exemplars: str | None = None
    by: str
    reason: str
    at: datetime

    @property
    def wanted(self) -> VersionPair:
        """What shall be in force."""
        return VersionPair(expert=self.to, exemplars=self.exemplars)

    @property
    def replaced(self) -> VersionPair:
        """What was in force when it was asked for."""
        return VersionPair(expert=self.replaces, exemplars=self.replaces_exemplars)


def open_requests(rows: Sequence[WrittenDeed]) -> dict[str, ModelRequest]:
    """The request of each product that nobody has answered.

    Args:
        rows: of the actions in ``ACTIONS``, oldest first.
    """
    return {product: _request(row) for product, row in unanswered(rows, REQUEST).items()}


def _request(row: WrittenDeed) -> ModelRequest:
    wanted, replaced = VersionPair.read(row.after), VersionPair.read(row.before)
    return ModelRequest(
        number=row.number,
        product=row.object,
        to=wanted.expert,
        exemplars=wanted.exemplars,
        replaces=replaced.expert,
        replaces_exemplars=replaced.exemplars,
        by=row.actor,
        reason=row.reason,
        at=row.at,
    )


def is_first_answer(rows: Sequence[WrittenDeed], request: ModelRequest, number: int) -> bool:
    """Whether a row is what ended a request: of two who answer at once one is first in the chain.

    Args:
        rows: of the actions in ``ACTIONS``, oldest first.
        number: of the row.
    """
    later = (r.number for r in rows if r.object == request.product and r.number > request.number)
    return next(later, None) == number
