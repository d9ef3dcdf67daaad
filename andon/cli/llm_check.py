"""One question to each endpoint, with pictures that show nothing of a product."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from serving.naming.endpoint import Endpoint
from serving.naming.settings import EndpointSettings
from serving.naming.velm import VelmClassifier
from serving.naming.visual import VisualSettings, encode
from streams.events import Classification, Inspection
from streams.ids import new_frame_id
from streams.ports import ClassificationRequest, ClassificationTexts, ClassText
from streams.regions import region_from_mask

SIDE = 448


async def check_endpoints(
    endpoints: Sequence[EndpointSettings], timeout_s: float
) -> list[dict[str, object]]:
    """One row per endpoint: ``endpoint``, ``ok``, ``message`` and what the call took."""
    return [await _check(settings, timeout_s) for settings in endpoints]


async def _check(settings: EndpointSettings, timeout_s: float) -> dict[str, object]:
    classifier = VelmClassifier(Endpoint(settings), references=PlainReference())
    await classifier.start()
    try:
        answer = await classifier.classify(drawn_request(timeout_s), timeout_s)
    finally:
        await classifier.close()
    row: dict[str, object] = {"endpoint": settings.name, "model": settings.model}
    if not isinstance(answer, Classification):
        return row | {"ok": False, "message": answer.message, "error": answer.error_type}
    usable = answer.unknown_reason in ("", "said_unknown")
    message = f"answered {answer.class_name!r} in {answer.latency_ms:.0f} ms"
    if not usable:
        message = f"the answer cannot be used: {answer.unknown_reason}"
    return row | {
        "ok": usable,
        "message": message,
        "class": answer.class_name,
        "confidence": answer.confidence,
        "latency_ms": round(answer.latency_ms, 1),
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "cost": answer.cost,
    }


def drawn_request(timeout_s: float, seed: int = 0) -> ClassificationRequest:
    """A request with a grey, noisy square that bears a dark line; nothing in it is of a plant."""
    picture = _grey(seed)
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[216:232, 64:384] = True
    picture[220:228, 72:376] = 20
    measured = {"count": 1, "area_px": float(mask.sum())}
    region = region_from_mask(mask, SIDE, SIDE).model_copy(update=measured)
    classes = (
        ClassText("line", "line", "a long thin dark line"),
        ClassText("spot", "spot", "a small round spot"),
    )
    return ClassificationRequest(
        frame_id=new_frame_id(),
        image=encode(picture, VisualSettings()),
        inspection=Inspection(
            score=1.0,
            threshold=0.5,
            p_value=0.01,
            anomalous=True,
            region=region,
            expert_version="drawn",
        ),
        texts=ClassificationTexts(
            "test card", "", "is evenly grey", classes=classes, egress="full"
        ),
        deadline=datetime.now(UTC) + timedelta(seconds=timeout_s),
    )


class PlainReference:
    """The test card without its line."""

    def __init__(self) -> None:
        self._picture = encode(_grey(), VisualSettings())

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """A plain grey square."""
        return self._picture


def _grey(seed: int = 0) -> npt.NDArray[np.uint8]:
    """A square as noisy as a photograph: encoding it costs what it does in a plant."""
    noise = np.random.default_rng(seed).normal(128, 6, (SIDE, SIDE, 1))
    return np.repeat(noise.clip(0, 255).astype(np.uint8), 3, axis=2)
