"""The twin of ``streams.ports.AnomalyClassifier``."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from streams.codes import ReasonCode
from streams.events import Classification
from streams.ports import ClassificationRequest, Failure


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
