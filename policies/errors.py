"""What can go wrong with a policy. Messages name file, line, reason and fix."""

from collections.abc import Sequence
from dataclasses import dataclass

from streams.errors import AndonError


class PolicyError(AndonError):
    """Root of this package's errors."""


@dataclass(frozen=True)
class Problem:
    """One finding in a policy file. ``line`` and ``column`` count from 1; 0 is unknown.

    ``code`` is ``E...`` for an error, ``W...`` for a lint. ``at`` is the path inside the
    document, such as ``classes.crack.action``. ``fix`` says what to do, or is empty.
    """

    file: str
    line: int
    column: int
    code: str
    at: str
    reason: str
    fix: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.code} {self.reason}" + (f"; {self.fix}" if self.fix else "")


class InvalidPolicyError(PolicyError):
    """A policy that cannot be used; ``problems`` names every fault found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = tuple(problems)


class ConditionError(PolicyError):
    """A rule's condition that is not allowed; ``column`` counts from 1 inside the expression."""

    def __init__(self, reason: str, fix: str = "", column: int = 1) -> None:
        super().__init__(reason + (f"; {fix}" if fix else ""))
        self.reason = reason
        self.fix = fix
        self.column = column


class TamperedPolicyError(PolicyError):
    """A body whose content does not have the hash it is published under."""


class SofteningError(PolicyError):
    """A change lets parts through that the policy in force stops; it must be asked for."""


class SecondPersonError(PolicyError):
    """Somebody else must approve it."""


class ChangedMeanwhileError(PolicyError):
    """Another version is in force than the one that a change was made from."""
