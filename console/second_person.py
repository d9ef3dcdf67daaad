"""When a change waits for a second person, be it a policy or a version, and who answers. Pure."""

from collections.abc import Sequence
from enum import StrEnum

from history.accounts import person_of
from history.console_audit import WrittenDeed
from policies.errors import SecondPersonError


class SecondPerson(StrEnum):
    """When a change of what is in force needs somebody else who approves it.

    Of versions of experts and exemplars nobody can tell whether they soften: they wait under
    ``always`` alone.
    """

    NEVER = "never"
    SOFTENING = "softening"
    """Where parts could pass that are stopped today, more of their pictures leave the plant, or
    audits, limits and golden parts watch less."""
    ALWAYS = "always"

    def is_asked(self, softens: bool) -> bool:
        """Whether a change needs somebody else.

        >>> [when.is_asked(softens=True) for when in SecondPerson]
        [False, True, True]
        """
        return self is SecondPerson.ALWAYS or (softens and self is SecondPerson.SOFTENING)

    def stops(self, wanted: str, in_force: str, last: str, softens: bool) -> bool:
        """Whether a version may not come in force where no second person can be asked.

        A product's first version, and the one that is in force already, are nobody else's matter.

        Args:
            wanted: hash of the version of a policy, or of expert and exemplars.
            in_force: of what is in force; empty: nothing is.
            last: the same, or of what was in force until it was withdrawn; empty: the first one.
            softens: whether ``wanted`` softens ``last``.

        >>> [SecondPerson.ALWAYS.stops("b", now, now, softens=False) for now in ("", "a", "b")]
        [False, True, False]
        """
        return bool(last) and wanted != in_force and self.is_asked(softens)


class AnswerToRequest(StrEnum):
    """What becomes of a request."""

    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    """By whoever asked."""


def unanswered(rows: Sequence[WrittenDeed], request: str) -> dict[str, WrittenDeed]:
    """The row by which somebody asked for a change of each object, where nothing came of it yet.

    A newer request takes the place of an older one; an answer ends it, and so does a change that
    was put in force meanwhile, at a prompt too.

    Args:
        rows: of requests, their answers and changes of what is in force, oldest first.
        request: the action of those that ask.
    """
    found: dict[str, WrittenDeed] = {}
    for row in rows:
        if row.action == request:
            found[row.object] = row
        else:
            found.pop(row.object, None)
    return found


def is_same_person(asked_by: str, person: str) -> bool:
    """Whether it was the same person who asked, by whatever token."""
    return person_of(asked_by) == person_of(person)


def check_answer(answer: AnswerToRequest, is_own: bool, may_approve: bool) -> None:
    """Refuse an answer by somebody who may not give it.

    Args:
        answer: what they say.
        is_own: whether they asked for it themselves.
        may_approve: whether they are a person who came in with a password.

    Raises:
        SecondPersonError: nobody approves their own, nor does a program or a PIN, and only who
            asked withdraws.
    """
    if answer is AnswerToRequest.WITHDRAW and not is_own:
        raise SecondPersonError("only who asked for it withdraws it; refuse it instead")
    if answer is AnswerToRequest.APPROVE and (is_own or not may_approve):
        raise SecondPersonError(
            "a second person approves it, who came in with a password: no program, no PIN, and "
            "not who asked"
        )


def approved_words(asked: str, approver: str, said: str) -> str:
    """The reason of a change that two people made, as the audits keep it.

    >>> approved_words("more cracks", "ada", "seen in the shadow")
    'more cracks; approved by ada: seen in the shadow'
    """
    return f"{asked}; approved by {approver}" + (f": {said}" if said else "")
