"""The twin of ``streams.ports.VisionExpert``."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from streams.codes import ReasonCode
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest
from tests.streams.made import BROKEN, ODD, inspection


@dataclass
class TwinExpert:
    """Images that start with ``ODD`` are anomalous, with ``BROKEN`` undecodable."""

    delay_s: float = 0.0
    down: bool = False
    hang: bool = False
    raises: bool = False
    calls: list[int] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=lambda: {"tile": "a" * 64})
    """What is in force, by product."""
    warmed: list[str] = field(default_factory=list)
    """The products that were asked to be warm, in order."""

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        self.calls.append(len(requests))
        if self.hang:
            await asyncio.Event().wait()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.raises:
            raise RuntimeError("the twin was told to raise")
        if self.down:
            down = Failure(ReasonCode.EXPERT_UNAVAILABLE, "ActorDiedError", "gone", retryable=True)
            return [down] * len(requests)
        return [self._answer(request) for request in requests]

    async def warm(
        self, product_id: str, version: str, timeout_s: float, station: str = ""
    ) -> str | Failure:
        self.warmed.append(product_id)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.down:
            return Failure(ReasonCode.EXPERT_UNAVAILABLE, "ActorDiedError", "gone", retryable=True)
        found = self.versions.get(product_id)
        if found is None:
            message = f"no expert for product {product_id!r}: no version of it is in force"
            return Failure(ReasonCode.NO_ARTIFACT, "NoArtifact", message)
        if not found.startswith(version):
            return Failure(ReasonCode.NO_ARTIFACT, "OtherVersion", f"{found} is in force")
        return found

    @staticmethod
    def _answer(request: InspectionRequest) -> Inspection | Failure:
        if request.image.startswith(BROKEN):
            return Failure(ReasonCode.UNDECODABLE_IMAGE, "UndecodableImageError", "not an image")
        return inspection(request.image.startswith(ODD))
