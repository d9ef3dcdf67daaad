"""The local classifier: names an anomaly from 1 to 5 labelled examples per class.

No training loop, no network, no GPU. It answers a class only where it is sure that the region
looks like one of the examples, and ``unknown`` otherwise.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from prompts.names import fold
from serving.classifiers.base import UNKNOWN
from serving.classifiers.exemplars import ExemplarBundle, load_bundle
from serving.classifiers.features import (
    Extractor,
    Image,
    describe_regions,
    embed,
    load_extractor,
)
from serving.classifiers.prototypes_model import PrototypeModel, fit
from serving.experts.errors import UndecodableImage
from serving.experts.images import decode_image
from streams.codes import ReasonCode
from streams.errors import AndonError
from streams.events import Classification
from streams.ports import ClassificationRequest, Failure
from streams.regions import Mask, region_mask

GEOMETRY_WEIGHT: Final = 0.3
QUEUE_LIMIT: Final = 256
"""Requests waiting at most; beyond it a request fails at once and the policy falls back."""
BATCH: Final = 8


@dataclass(frozen=True)
class Prototypes:
    """A bundle made ready: prototypes fitted, references embedded."""

    bundle: ExemplarBundle
    model: PrototypeModel
    extractor: Extractor

    @classmethod
    def build(cls, bundle: ExemplarBundle) -> "Prototypes":
        """Describe every example and fit. CPU work: about 30 ms per example.

        Raises:
            UndecodableImage: an example that cannot be decoded.
        """
        extractor = load_extractor(bundle.backbone)
        images = [decode_image(e.image) for e in bundle.exemplars]
        masks = [e.mask for e in bundle.exemplars]
        vectors = describe(extractor, images, masks, bundle)
        labels = [e.class_name for e in bundle.exemplars]
        groups = [e.part or e.sha256 for e in bundle.exemplars]
        return cls(bundle, fit(vectors, labels, groups), extractor)


def describe(
    extractor: Extractor, images: Sequence[Image], masks: Sequence[Mask], bundle: ExemplarBundle
) -> np.ndarray:
    """Vectors of regions, float32 (n, d), in the space of a bundle."""
    found = []
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        found += describe_regions(extractor, images[part], masks[part], bundle.normals)
    return np.stack([d.vector(GEOMETRY_WEIGHT) for d in found])


@dataclass
class _Waiting:
    request: ClassificationRequest
    future: "asyncio.Future[Classification | Failure]"
    since: float = field(default_factory=time.perf_counter)


class PrototypeClassifier:
    """The classifier stage ``prototypes``. ``bundles`` maps product to bundle folder."""

    name = "prototypes"

    def __init__(
        self, bundles: Mapping[str, Path], *, sure_from: float = 0.0, batch: int = BATCH
    ) -> None:
        self._paths = dict(bundles)
        self._ready: dict[str, Prototypes] = {}
        self._sure_from = sure_from
        self._batch = batch
        self._waiting: deque[_Waiting] = deque()
        self._drain: asyncio.Task[None] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prototypes")

    async def start(self) -> None:
        """Load and fit every bundle.

        Raises:
            ExemplarError: a bundle that cannot be read or was altered.
        """
        loop = asyncio.get_running_loop()
        for product, path in self._paths.items():
            self._ready[product] = await loop.run_in_executor(self._pool, _load, path)

    async def close(self) -> None:
        """Drop what waits and stop the thread."""
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft().future.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def replace_bundles(self, bundles: Mapping[str, Path]) -> None:
        """Load what is new, then change over; requests meanwhile get the old examples."""
        loop = asyncio.get_running_loop()
        ready = {}
        for product, path in bundles.items():
            same = self._paths.get(product) == path and product in self._ready
            ready[product] = (
                self._ready[product]
                if same
                else await loop.run_in_executor(self._pool, _load, path)
            )
        self._paths, self._ready = dict(bundles), ready

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        """Name one anomaly; see :class:`serving.classifiers.base.Classifier`."""
        if len(self._waiting) >= QUEUE_LIMIT:
            message = f"{QUEUE_LIMIT} requests are waiting already"
            return Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, "QueueFull", message, True)
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._work())
        try:
            return await asyncio.wait_for(waiting.future, timeout_s)
        except TimeoutError:
            message = f"no answer within {timeout_s * 1000:.0f} ms"
            return Failure(ReasonCode.LATE, "TimeoutError", message)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            count = min(self._batch, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
            taken = [w for w in taken if not w.future.done()]
            requests = [w.request for w in taken]
            answers = await loop.run_in_executor(self._pool, self._name_all, requests)
            now = time.perf_counter()
            for w, answer in zip(taken, answers, strict=True):
                if not w.future.done():
                    w.future.set_result(_timed(answer, (now - w.since) * 1000))

    def _name_all(
        self, requests: Sequence[ClassificationRequest]
    ) -> list[Classification | Failure]:
        answers: list[Classification | Failure] = []
        for request in requests:
            try:
                answers.append(self._name(request))
            except UndecodableImage as error:
                answers.append(
                    Failure(ReasonCode.UNDECODABLE_IMAGE, "UndecodableImage", str(error))
                )
            except (AndonError, ValueError, RuntimeError, KeyError, MemoryError) as error:
                kind = type(error).__name__
                answers.append(
                    Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, kind, str(error)[:500], True)
                )
        return answers

    def _name(self, request: ClassificationRequest) -> Classification:
        product = request.texts.product_id
        ready = self._ready.get(product)
        if ready is None:
            return _unknown(f"no examples were taught for product {product!r}")
        image = decode_image(request.image)
        region = request.inspection.region
        mask = region_mask(region) if region else np.ones(image.shape[:2], np.bool_)
        vector = describe(ready.extractor, [image], [mask], ready.bundle)[0]
        folded = {fold(c.name): c.name for c in request.texts.classes}
        names = {c: folded[fold(c)] for c in ready.model.classes if fold(c) in folded}
        naming = ready.model.name(vector, tuple(names))
        version, model = ready.bundle.digest, ready.bundle.backbone
        if naming is None:
            reason = "no class of the policy has examples"
            return _unknown(reason, version=version, model=model)
        candidates = {names[c]: p for c, p in naming.probabilities.items()}
        best = names[naming.best]
        reason = ""
        if not naming.is_known:
            reason = (
                f"looks like none of the examples: cosine {naming.similarity:.2f} to the nearest "
                f"class {best!r}, {ready.model.floor:.2f} needed"
            )
        elif candidates[best] < self._sure_from:
            reason = f"unsure: {candidates[best]:.2f} for {best!r}, {self._sure_from:.2f} needed"
        return Classification(
            class_name=UNKNOWN if reason else best,
            confidence=candidates[best],
            classifier=self.name,
            model=model,
            exemplars_version=version,
            unknown_reason=reason[:512],
            candidates=candidates,
        )


class BundleReferences:
    """Normal pictures to show beside a query: the nearest by embedding (VELM's reference)."""

    def __init__(self, bundles: Mapping[str, Path]) -> None:
        self._bundles = {product: load_bundle(path) for product, path in bundles.items()}

    def nearest_reference(self, product_id: str, image: bytes) -> bytes | None:
        """The normal picture most like ``image``, as captured; None when there is none."""
        bundle = self._bundles.get(product_id)
        if bundle is None or bundle.normals is None or not bundle.normals.images:
            return None
        extractor = load_extractor(bundle.backbone)
        similar = bundle.normals.embeddings @ embed(extractor, [decode_image(image)])[0]
        return bundle.normals.images[int(similar.argmax())]


def _load(path: Path) -> Prototypes:
    return Prototypes.build(load_bundle(path))


def _timed(answer: Classification | Failure, latency_ms: float) -> Classification | Failure:
    if isinstance(answer, Failure):
        return answer
    return answer.model_copy(update={"latency_ms": latency_ms})


def _unknown(reason: str, version: str = "", model: str = "") -> Classification:
    return Classification(
        class_name=UNKNOWN,
        confidence=0.0,
        classifier=PrototypeClassifier.name,
        model=model,
        exemplars_version=version,
        unknown_reason=reason[:512],
    )
