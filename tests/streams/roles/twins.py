"""In-memory twins behind the ports, told to be slow, to fail or to hang; and events to feed."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from streams.codes import ReasonCode
from streams.envelope import Message, from_message, to_message
from streams.errors import UnavailableError
from streams.events import (
    Classification,
    Event,
    Frame,
    Inspection,
    Region,
)
from streams.ids import new_frame_id
from streams.kafka.delivery import Delivery
from streams.ports import (
    ClassificationRequest,
    Failure,
    InspectionRequest,
)
from streams.regions import encode_mask
from streams.topics import ALL

ODD = b"odd"
BROKEN = b"broken"


def region() -> Region:
    """A 2x2 blob in the corner of a 4x4 mask."""
    import numpy as np

    mask = np.zeros((4, 4), dtype=bool)
    mask[:2, :2] = True
    return Region(
        image_height=8,
        image_width=8,
        mask_height=4,
        mask_width=4,
        mask_rle=encode_mask(mask),
        area_px=16,
        count=1,
    )


def inspection(anomalous: bool) -> Inspection:
    return Inspection(
        score=2.0 if anomalous else 0.5,
        threshold=1.0,
        p_value=0.001 if anomalous else 0.5,
        anomalous=anomalous,
        region=region() if anomalous else None,
        expert_version="sha256:twin",
    )


@dataclass
class TwinExpert:
    """Images that start with ``ODD`` are anomalous, with ``BROKEN`` undecodable."""

    delay_s: float = 0.0
    down: bool = False
    hang: bool = False
    raises: bool = False
    calls: list[int] = field(default_factory=list)

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

    @staticmethod
    def _answer(request: InspectionRequest) -> Inspection | Failure:
        if request.image.startswith(BROKEN):
            return Failure(ReasonCode.UNDECODABLE_IMAGE, "UndecodableImageError", "not an image")
        return inspection(request.image.startswith(ODD))


@dataclass
class TwinClassifier:
    """Names every anomaly ``crack``."""

    delay_s: float = 0.0
    down: bool = False
    hang: bool = False
    seen: list[ClassificationRequest] = field(default_factory=list)

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        self.seen += requests
        if self.hang:
            await asyncio.Event().wait()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.down:
            code = ReasonCode.CLASSIFIER_UNAVAILABLE
            return [Failure(code, "ActorDiedError", "gone", retryable=True)] * len(requests)
        return [Classification(class_name="crack", confidence=0.9, classifier="twin")] * len(
            requests
        )


@dataclass
class TwinPublisher:
    """Keeps what is sent; can be down for a number of sends."""

    down_for: int = 0
    sent: list[tuple[str, Message]] = field(default_factory=list)

    async def send(self, topic: str, message: Message) -> None:
        if self.down_for > 0:
            self.down_for -= 1
            raise UnavailableError("the broker is away")
        self.sent.append((topic, message))

    def of(self, topic: str) -> list[tuple[Event, bytes]]:
        """Decoded events of one topic, with their values."""
        model = next(t.event for t in ALL if t.name == topic)
        return [
            (from_message(model, m.value, m.headers), m.value) for t, m in self.sent if t == topic
        ]


def frame(image: bytes = b"picture", window_ms: int = 1000, **changes: object) -> Frame:
    """A frame captured now."""
    now = datetime.now(UTC)
    fields: dict[str, object] = {
        "frame_id": new_frame_id(),
        "line": "line-1",
        "station": "cam-1",
        "product_id": "tile",
        "part_id": "P-1",
        "plc_boot_id": 1,
        "trigger_seq": 7,
        "captured_at": now,
        "deadline": now + timedelta(milliseconds=window_ms),
        "result_window_ms": window_ms,
        "size_bytes": len(image),
        "sha256": hashlib.sha256(image).hexdigest(),
        "content_type": "image/png",
    }
    return Frame.model_validate(fields | changes)


def delivery(event: Event, image: bytes = b"", offset: int = 0) -> Delivery:
    """An event as a role receives it."""
    topic = next(t.name for t in ALL if isinstance(event, t.event))
    message = to_message(event, image)
    return Delivery(topic, 0, offset, message.key, message.value, message.headers)
