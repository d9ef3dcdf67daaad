"""What a check says."""

from dataclasses import dataclass

from streams.errors import AndonError


@dataclass(frozen=True)
class Finding:
    """One check's result. ``remedy`` is empty when it is fine."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


class CheckFailed(AndonError):
    """A check's own finding: detail and remedy."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy
