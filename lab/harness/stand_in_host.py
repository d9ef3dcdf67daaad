"""A worker whose models are stand-ins: what a part costs outside of expert and classifier.

    python -m lab.harness.stand_in_host worker inspect

It is ``andon`` but for the two clients of Ray Serve. Of the pictures a tenth is anomalous, by their
checksum, and is named at once. Only this laboratory starts it.
"""

import sys
import zlib
from collections.abc import Sequence

from andon.settings import Settings
from streams.events import Classification, Inspection
from streams.ports import ClassificationRequest, Failure, InspectionRequest

ONE_IN = 10
"""Of so many pictures one is anomalous."""
VERSION = "stand-in"


class StandInModels:
    """Expert and classifier in one; it costs next to nothing."""

    def __init__(self, settings: Settings) -> None:
        pass

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def wait_connected(self, timeout_s: float) -> bool:
        return True

    async def refusal(self, timeout_s: float) -> str:
        return ""

    async def warm(self, product_id: str, version: str, timeout_s: float) -> str | Failure:
        return version or VERSION

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        return [_inspected(request.image) for request in requests]

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        return [
            Classification(
                class_name=request.texts.classes[0].name, confidence=0.9, classifier=VERSION
            )
            for request in requests
        ]


def _inspected(image: bytes) -> Inspection:
    anomalous = zlib.crc32(image) % ONE_IN == 0
    score, p_value = (2.0, 0.001) if anomalous else (0.5, 0.5)
    return Inspection(
        score=score, threshold=1.0, p_value=p_value, anomalous=anomalous, expert_version=VERSION
    )


def main() -> None:
    """``andon`` with the arguments of this program."""
    from andon.__main__ import main as andon
    from andon.wiring import ray_serve

    setattr(ray_serve, "vision_expert", StandInModels)  # noqa: B010 - typed names are not assigned
    setattr(ray_serve, "classifier", StandInModels)  # noqa: B010
    sys.argv[0] = "andon"
    andon()


if __name__ == "__main__":
    main()
