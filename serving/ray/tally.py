"""What a replica says of its own work, for whoever watches it."""

import resource
from collections.abc import Sequence
from pathlib import Path

from streams.ports import Failure

_STATM = Path("/proc/self/statm")


class ReplicaTally:
    """Counts the answers of a replica since it was started.

    Args:
        build: which build of Andon its process runs.
    """

    def __init__(self, build: str = "") -> None:
        self._build = build
        self._scored = self._failed = 0

    def add(self, answers: Sequence[object]) -> None:
        """Count the answers of one batch."""
        failed = sum(isinstance(answer, Failure) for answer in answers)
        self._failed += failed
        self._scored += len(answers) - failed

    def said(self) -> dict[str, str | float]:
        """Build, answers, processor time and memory of this process, for ``ReplicaStatus``."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "build": self._build,
            "scored": self._scored,
            "failed": self._failed,
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
            "resident_bytes": resident_bytes(),
        }


def resident_bytes() -> int:
    """Memory of this process; 0 where the system does not say."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()
