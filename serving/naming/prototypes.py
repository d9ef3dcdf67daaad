"""The local classifier: names an anomaly from 1 to 5 labelled examples per class.

No training loop, no network, no GPU. It answers a class only where it is sure that the region
looks like one of the examples, and ``unknown`` otherwise.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from prompts.names import fold
from serving.batching import Batches, Expired, QueueFull
from serving.experts.errors import UndecodableImage
from serving.experts.images import decode_image
from serving.naming.background import Background
from serving.naming.base import UNKNOWN
from serving.naming.describing import describe_example, describe_picture, learn_background
from serving.naming.exemplars import ExemplarBundle, Normal, load_bundle
from serving.naming.false_alarms import FalseAlarms
from serving.naming.features import (
    FeatureExtractor,
    Features,
    Floats,
    Image,
    extract,
    load_extractor,
    one,
    whole,
)
from serving.naming.prototypes_model import KNOWN_SHARE, PrototypeModel, fit
from streams.codes import ReasonCode
from streams.errors import AndonError
from streams.events import Classification
from streams.ports import ClassificationRequest, Failure
from streams.regions import region_mask

QUEUE_LIMIT: Final = 256
"""Requests waiting at most; beyond it a request fails at once and the policy falls back."""
BATCH: Final = 8
LEAST_KNOWN: Final = KNOWN_SHARE
"""Least probability of being any of the classes; below it the answer is ``unknown``. The default
refuses what the picture makes less likely to be known than it was before."""


@dataclass(frozen=True)
class Prototypes:
    """A bundle made ready: what is normal learned, prototypes fitted."""

    bundle: ExemplarBundle
    model: PrototypeModel | None
    """None while no class has examples."""
    background: Background | None
    extractor: FeatureExtractor
    false_alarms: FalseAlarms | None = None
    """None where no expert's hard normals were kept."""

    @classmethod
    def build(cls, bundle: ExemplarBundle, threads: int = 1) -> "Prototypes":
        """Compute every picture's features and fit: about 30 ms per picture and thread.

        Raises:
            UndecodableImage: a picture that cannot be decoded.
        """
        extractor = load_extractor(bundle.backbone, threads)
        background = learn_background(bundle)
        examples = bundle.exemplars
        if not examples:
            return cls(bundle, None, background, extractor)
        features = extract(extractor, [decode_image(e.image) for e in examples])
        vectors = np.stack(
            [
                describe_example(one(features, i), e.mask, background, drawn=e.drawn)
                for i, e in enumerate(examples)
            ]
        )
        labels = [e.class_name for e in examples]
        groups = [e.part or e.sha256 for e in examples]
        model = fit(vectors, labels, groups)
        alarms = _false_alarms(bundle, vectors, background, extractor)
        return cls(bundle, model, background, extractor, alarms)


def _false_alarms(
    bundle: ExemplarBundle,
    examples: Floats,
    background: Background | None,
    extractor: FeatureExtractor,
) -> FalseAlarms | None:
    if bundle.gate is None or not bundle.hard:
        return None
    vectors = []
    for start in range(0, len(bundle.hard), BATCH):  # described at once: features are large
        some = bundle.hard[start : start + BATCH]
        features = extractor.features([decode_image(h.image) for h in some])
        vectors += [
            describe_picture(one(features, i), h.mask, background, refine=True, part=h.part)
            for i, h in enumerate(some)
        ]
    scores, weights = ([getattr(h, name) for h in bundle.hard] for name in ("score", "weight"))
    groups = [h.part for h in bundle.hard]
    return FalseAlarms.learn(bundle.gate, examples, np.stack(vectors), scores, weights, groups)


class PrototypeClassifier:
    """The classifier stage ``prototypes``.

    Args:
        bundles: product to bundle folder.
        least_known: probability of being any taught class below which the answer is ``unknown``,
            0 (never by this test) to 1.
        refine: look for the odd cells inside and beside the expert's region; off where the
            requests' regions were drawn by hand.
        batch: most requests whose features are computed in one call.
        threads: CPU threads of the backbone.
    """

    name = "prototypes"

    def __init__(
        self,
        bundles: Mapping[str, Path],
        *,
        least_known: float = LEAST_KNOWN,
        refine: bool = True,
        batch: int = BATCH,
        threads: int = 1,
    ) -> None:
        if not 0.0 <= least_known <= 1.0:
            raise ValueError(f"least_known {least_known} is not within 0 and 1")
        if batch < 1 or threads < 1:
            raise ValueError("batch and threads are at least 1 each")
        self._paths = dict(bundles)
        self._ready: dict[str, Prototypes] = {}
        self._least_known = least_known
        self._refine = refine
        self._threads = threads
        self._batches: Batches[ClassificationRequest, Classification | Failure] = Batches(
            self._work, batch, wait_s=0, limit=QUEUE_LIMIT, under_way=1
        )
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prototypes")

    async def start(self) -> None:
        """Load and fit every bundle.

        Raises:
            ExemplarError: a bundle that cannot be read or was altered.
        """
        loop = asyncio.get_running_loop()
        for product, path in self._paths.items():
            self._ready[product] = await loop.run_in_executor(self._pool, self._load, path)

    async def close(self) -> None:
        """Drop what waits and stop the thread."""
        await self._batches.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        """Name one anomaly; see :class:`serving.naming.base.Classifier`."""
        began = time.perf_counter()
        code = ReasonCode.CLASSIFIER_UNAVAILABLE
        try:
            future = self._batches.submit(request, 1, timeout_s)
            answer = await asyncio.wait_for(future, timeout_s)
        except QueueFull:
            message = f"{QUEUE_LIMIT} requests are waiting already"
            return Failure(code, "QueueFull", message, True)
        except (TimeoutError, Expired):
            message = f"no answer within {timeout_s * 1000:.0f} ms"
            return Failure(ReasonCode.LATE, "TimeoutError", message)
        except (AndonError, ValueError, RuntimeError, LookupError, MemoryError, cv2.error) as error:
            return Failure(code, type(error).__name__, str(error)[:500], True)
        if isinstance(answer, Failure):
            return answer
        return answer.model_copy(update={"latency_ms": (time.perf_counter() - began) * 1000})

    async def _work(
        self, requests: Sequence[ClassificationRequest]
    ) -> list[Classification | Failure]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._name_all, requests)

    def _load(self, path: Path) -> Prototypes:
        return Prototypes.build(load_bundle(path), self._threads)

    def _name_all(
        self, requests: Sequence[ClassificationRequest]
    ) -> list[Classification | Failure]:
        """One answer per request; the features of one backbone's pictures in one batch."""
        answers: dict[int, Classification | Failure] = {}
        batches: dict[FeatureExtractor, list[tuple[int, Prototypes, Image]]] = {}
        for i, request in enumerate(requests):
            ready = self._ready.get(request.texts.product_id)
            try:
                if ready is None or ready.model is None:
                    product = request.texts.product_id
                    answers[i] = _unknown(f"no examples were taught for product {product!r}")
                else:
                    image = decode_image(request.image)
                    batches.setdefault(ready.extractor, []).append((i, ready, image))
            except UndecodableImage as error:
                kind, code = type(error).__name__, ReasonCode.UNDECODABLE_IMAGE
                answers[i] = Failure(code, kind, str(error))
        for extractor, items in batches.items():
            features = extractor.features([image for _, _, image in items])
            for k, (i, ready, image) in enumerate(items):
                answers[i] = self._name(requests[i], ready, image, one(features, k))
        return [answers[i] for i in range(len(requests))]

    def _name(
        self, request: ClassificationRequest, ready: Prototypes, image: Image, features: Features
    ) -> Classification:
        assert ready.model is not None
        region = request.inspection.region
        mask = region_mask(region) if region is not None else whole(image)
        vector = describe_picture(features, mask, ready.background, refine=self._refine)
        folded = {fold(c.name): c.name for c in request.texts.classes}
        names = {c: folded[fold(c)] for c in ready.model.classes if fold(c) in folded}
        naming = ready.model.name(vector, names)
        alarms, inspection = ready.false_alarms, request.inspection
        p_value = None
        if alarms is not None and alarms.expert_version == inspection.expert_version:
            p_value = alarms.p_value(inspection.score, vector)
        if naming is None:
            answer = _unknown("no class of the policy has examples", ready.bundle)
            return answer.model_copy(update={"normal_p_value": p_value})
        nearest = ready.model.name(vector)
        reason = ""
        if nearest is not None and nearest.best not in names:
            reason = f"most like {nearest.best!r}, which has examples and is no class of the policy"
        elif naming.known < self._least_known:
            reason = (
                f"looks like none of the examples: {naming.known:.2f} that it is any of them, "
                f"{self._least_known:.2f} needed; nearest is {names[naming.best]!r} at cosine "
                f"{naming.similarity:.2f}"
            )
        return Classification(
            class_name=UNKNOWN if reason else names[naming.best],
            confidence=1.0 - naming.known if reason else naming.confidence,
            classifier=self.name,
            model=ready.bundle.backbone,
            exemplars_version=ready.bundle.digest,
            unknown_reason=reason[:512],
            candidates={names[c]: naming.known * p for c, p in naming.probabilities.items()},
            normal_p_value=p_value,
        )


class NearestReferences:
    """Normal pictures to show beside a query: the most similar of a bundle, by embedding.

    A ``ReferenceProvider`` for VELM; ``prepare`` it before it is asked.
    """

    def __init__(self, bundles: Mapping[str, Path]) -> None:
        self._paths = dict(bundles)
        self._ready: dict[str, tuple[tuple[Normal, ...], Background, FeatureExtractor]] = {}

    def prepare(self) -> None:
        """Load the pictures, compile the backbone and learn what normal looks like; seconds.

        Raises:
            ExemplarError: a bundle that cannot be read or was altered.
        """
        for product, path in self._paths.items():
            bundle = load_bundle(path)
            extractor = load_extractor(bundle.backbone)
            background = learn_background(bundle)
            if background is not None:
                self._ready[product] = (bundle.normals, background, extractor)

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """The normal picture most like ``image``; None when the product has none.

        Raises:
            UndecodableImage: ``image`` cannot be decoded.
        """
        if product_id not in self._ready:
            return None
        normals, background, extractor = self._ready[product_id]
        embedding = background.embed(one(extractor.features([decode_image(image)]), 0))
        return normals[int((background.embeddings @ embedding).argmax())].image


def _unknown(reason: str, bundle: ExemplarBundle | None = None) -> Classification:
    return Classification(
        class_name=UNKNOWN,
        confidence=0.0,
        classifier=PrototypeClassifier.name,
        model=bundle.backbone if bundle else "",
        exemplars_version=bundle.digest if bundle else "",
        unknown_reason=reason[:512],
    )
