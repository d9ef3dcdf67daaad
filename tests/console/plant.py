"""A plant to be watched: what waits for review, and what Serve's replicas hold."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from history.filters import FrameFilter
from history.review_queue import WaitingFor
from serving.ray.replicas import ApplicationStatus, ReplicaStatus, Spent
from serving.ray.settings import CLASSIFIER, VISION
from streams.errors import UnavailableError

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


class GivenQueue:
    """Two reasons for which parts wait."""

    def __init__(self) -> None:
        self.down = False

    async def counts(
        self, wanted: FrameFilter, reviewer: str, reasons: Sequence[WaitingFor]
    ) -> Mapping[WaitingFor, int]:
        if self.down:
            raise UnavailableError("the database is away")
        found = {WaitingFor.HOLD: 7, WaitingFor.UNKNOWN: 2}
        return {reason: found.get(reason, 0) for reason in reasons}

    async def oldest(
        self, wanted: FrameFilter, reviewer: str, reasons: Sequence[WaitingFor]
    ) -> Mapping[WaitingFor, datetime]:
        return {WaitingFor.HOLD: NOW - timedelta(hours=9)}


class GivenServing:
    """Two of three vision experts answer; one of them has another version."""

    def __init__(self) -> None:
        self.down = self.closed = False
        self.looks = 0

    async def look(self, timeout_s: float = 30.0) -> ApplicationStatus:
        self.looks += 1
        if self.down:
            raise UnavailableError("Serve's ingress did not say")
        one = {"versions": {"tile": "new"}, "waiting": 4, "scored": 9, "failed": 1}
        replicas = [
            ReplicaStatus(
                replica="a" * 32, deployment=VISION, build="0.3.0", cpu_seconds=2.5, **one
            ),
            ReplicaStatus(
                replica="b" * 32,
                deployment=VISION,
                build="0.2.0",
                versions={"tile": "old"},
                problems={"tile": "altered"},
                resident_bytes=1 << 30,
            ),
            ReplicaStatus(
                replica="c" * 32,
                deployment=CLASSIFIER,
                asked={
                    "llm": {
                        "answered": Spent(calls=3, tokens=2700, money=0.02),
                        "unanswered": Spent(calls=1, tokens=829, money=0.003),
                    }
                },
            ),
        ]
        return ApplicationStatus(replicas=replicas, expected={VISION: 3, CLASSIFIER: 2})

    async def close(self) -> None:
        self.closed = True
