"""What a check says."""

from dataclasses import dataclass

from streams.errors import AndonError


@dataclass(frozen=True)
class Finding:
    """One check's result. ``remedy`` is empty when there is nothing to do."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    warns: bool = False
    """Whether parts are decided, and somebody should nevertheless look."""


class CheckFailed(AndonError):
    """A check's own finding: detail and remedy."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy


class CheckWarned(CheckFailed):
    """The line works, and something should be changed."""
