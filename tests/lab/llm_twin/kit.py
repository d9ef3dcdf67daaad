"""What the tests of the naming stage share: pictures, requests, clients."""

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from lab.llm_twin.server import TwinServer
from lab.llm_twin.validation import decode_picture, picture_digest
from serving.naming.endpoint import Endpoint
from serving.naming.references import RandomReferences
from serving.naming.settings import EndpointSettings, VelmSettings, VisualSettings
from serving.naming.velm import VelmClassifier
from serving.naming.visual import encode, make_pictures
from streams.events import Classification, Inspection, Region
from streams.ports import ClassificationRequest, ClassificationTexts, ClassText, Failure
from streams.regions import encode_mask

Image = npt.NDArray[np.uint8]
PRODUCT = "bracket"
TEXTS = ClassificationTexts(
    product_id=PRODUCT,
    policy_hash="0" * 64,
    normal_description="has an even, matt grey surface",
    strategy="First look at the shape of the region, then at its brightness.",
    classes=(
        ClassText("crack", "crack", "a long thin dark line"),
        ClassText("pore", "gas pore", "a small round dark spot"),
    ),
)


def surface(seed: int, height: int = 120, width: int = 160) -> Image:
    """A grey, slightly noisy photograph."""
    rng = np.random.default_rng(seed)
    grey = rng.integers(110, 130, (height, width, 1), dtype=np.uint8)
    return np.repeat(grey, 3, axis=2)


def crack(seed: int = 1) -> tuple[Image, npt.NDArray[np.bool_]]:
    """A surface with a dark line, and its mask at image resolution."""
    image = surface(seed)
    mask = np.zeros(image.shape[:2], dtype=np.bool_)
    mask[55:65, 30:130] = True
    image[58:62, 32:128] = 15
    return image, mask


def pore(seed: int = 2) -> tuple[Image, npt.NDArray[np.bool_]]:
    """A surface with a dark spot, and its mask at image resolution."""
    image = surface(seed)
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]]
    mask = np.asarray((ys - 60) ** 2 + (xs - 80) ** 2 < 100)
    image[(ys - 60) ** 2 + (xs - 80) ** 2 < 50] = 15
    return image, mask


def png(image: Image) -> bytes:
    """Encoded without loss."""
    return encode(image, VisualSettings())


def region_of(mask: npt.NDArray[np.bool_], coarse: int = 1) -> Region:
    """The region of a mask, at a ``coarse``-th of its resolution."""
    small = mask[::coarse, ::coarse]
    return Region(
        image_height=mask.shape[0],
        image_width=mask.shape[1],
        mask_height=small.shape[0],
        mask_width=small.shape[1],
        mask_rle=encode_mask(small),
    )


def request(
    image: Image | bytes | None = None,
    mask: npt.NDArray[np.bool_] | None = None,
    *,
    texts: ClassificationTexts = TEXTS,
    number: int = 1,
    **changes: Any,
) -> ClassificationRequest:
    """A request to name the crack of :func:`crack`, unless told otherwise."""
    if image is None:
        image, mask = crack(number)
    inspection = Inspection(
        score=2.0,
        threshold=1.0,
        p_value=0.01,
        anomalous=True,
        region=None if mask is None else region_of(mask),
        expert_version="test",
    )
    return ClassificationRequest(
        frame_id=UUID(int=number),
        image=image if isinstance(image, bytes) else png(image),
        inspection=inspection,
        texts=replace(texts, **changes) if changes else texts,
        deadline=datetime.now(UTC) + timedelta(seconds=60),
    )


def endpoint_settings(base_url: str, **changes: Any) -> EndpointSettings:
    """A loopback endpoint with log-probabilities and short pauses."""
    defaults: dict[str, Any] = {
        "name": "twin",
        "base_url": base_url,
        "model": "twin",
        "zone": "loopback",
        "logprobs": True,
        "backoff_s": 0.01,
        "timeout_s": 60,
    }
    return EndpointSettings(**(defaults | changes))


def client(
    server: TwinServer,
    velm: VelmSettings = VelmSettings(),
    *,
    clock: Callable[[], float] = time.monotonic,
    **changes: Any,
) -> VelmClassifier:
    """A classifier that asks ``server``; start and close it."""
    settings = endpoint_settings(server.base_url, **changes)
    endpoint = Endpoint(settings, clock=clock, chance=random.Random(0).random)
    return VelmClassifier(endpoint, velm, references())


def references() -> RandomReferences:
    """Two normal photographs."""
    return RandomReferences({PRODUCT: [png(surface(100)), png(surface(101))]})


def sent_digest(asked: ClassificationRequest, velm: VelmSettings = VelmSettings()) -> str:
    """The digest under which the twin knows the query picture of a request."""
    pictures = make_pictures(asked.image, None, asked.inspection.region, velm.visual)
    return picture_digest(decode_picture(pictures.items[0]))


@asynccontextmanager
async def asking(
    server: TwinServer, velm: VelmSettings = VelmSettings(), **changes: Any
) -> AsyncIterator[VelmClassifier]:
    classifier = client(server, velm, **changes)
    await classifier.start()
    try:
        yield classifier
    finally:
        await classifier.close()


def named(answer: Classification | Failure) -> Classification:
    assert isinstance(answer, Classification), answer
    return answer
