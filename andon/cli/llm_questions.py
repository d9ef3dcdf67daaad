"""Questions about drawn pictures, which show nothing of a product."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from serving.naming.visual import VisualSettings, encode
from streams.events import Inspection
from streams.ids import new_frame_id
from streams.ports import ClassificationRequest, ClassificationTexts, ClassText
from streams.regions import region_from_mask

SIDE = 448
Shape = Literal["line", "spot"]


def drawn_request(timeout_s: float, seed: int = 0, shape: Shape = "line") -> ClassificationRequest:
    """A request with a grey, noisy square that bears a dark shape; nothing in it is of a plant."""
    picture = _grey(seed)
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    if shape == "line":
        mask[216:232, 64:384] = True
        picture[220:228, 72:376] = 20
    else:
        ys, xs = np.mgrid[:SIDE, :SIDE]
        distance = (ys - SIDE // 2) ** 2 + (xs - SIDE // 2) ** 2
        mask[distance < 30**2] = True
        picture[distance < 24**2] = 20
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
