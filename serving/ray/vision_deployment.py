"""The ``VisionExpert`` deployment: images in lists, batches across calls, versions by product.

Plain Python: ``serving.ray.app`` makes a Ray Serve deployment of it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID, uuid4

from serving.batching import Batches, Expired, QueueFull
from serving.bundle_store import BundleStore
from serving.errors import ServeConfigError
from serving.experts.images import decode_image
from serving.experts.look import measure_look
from serving.experts.types import Image
from serving.ray.inspections import to_failure, to_inspection
from serving.ray.models import Loaded, ModelSet, loader
from serving.ray.settings import VisionSettings, VisionUserConfig, parse
from serving.ray.shadowing import ShadowScorer
from serving.ray.tally import ReplicaTally
from serving.ray.wire import pack_inspections, unpack_images
from streams.codes import ReasonCode
from streams.events import Inspection
from streams.masking import masking_logger
from streams.ports import Failure

log = masking_logger(__name__)

Answer = Inspection | Failure
MIB = 1 << 20


@dataclass(frozen=True, eq=False)
class _Item:
    product: str
    image: bytes
    arrived: float
    frame_id: UUID | None


class VisionDeployment:
    """A replica with the experts of all products.

    Scoring runs in a thread of its own and decoding in others, neither on the event loop.

    Args:
        settings: see :class:`serving.ray.settings.VisionSettings`.
        open_store: opens the artifact store inside the replica; credentials come from its
            environment and travel through no configuration.
    """

    def __init__(self, settings: VisionSettings, open_store: Callable[[], BundleStore]) -> None:
        self._settings = settings
        self._replica = uuid4().hex
        self._models = ModelSet(
            loader(settings),
            open_store(),
            settings.batch,
            settings.follow_s,
            shadowed=settings.shadow_share > 0,
        )
        self._shadow = ShadowScorer(settings.shadow_share)
        self._tally = ReplicaTally()
        self._following: asyncio.Task[None] | None = None
        self._batcher: Batches[_Item, Answer] = Batches(
            self._work, settings.batch, settings.batch_wait_ms / 1000, settings.queue_mib * MIB
        )
        self._decoders = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._scorer = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._changer = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._proven = float("-inf")
        self._configured = False

    async def reconfigure(self, user_config: object) -> None:
        """Take a new mapping of products to versions; frames keep flowing while it loads.

        Raises:
            ServeConfigError: the first configuration cannot be used. Later ones that cannot be
                used are logged and shown by :meth:`status`, and the replica stays as it is: Serve
                would otherwise stop every replica that works.
        """
        problems: dict[str, str] = {}
        try:
            wanted = parse(VisionUserConfig, user_config, "user_config of VisionExpert")
        except ServeConfigError as error:
            log.error("kept the versions that were served before: %s", error)
            wanted, problems = self._models.before(), {"*": str(error)}
            if not (self._configured or wanted.products):
                raise
        if not (self._configured and problems):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._changer, self._models.change, wanted)
        self._models.problems = {**self._models.problems, **problems}
        if not self._configured and self._models.problems and not self._models.current:
            said = "; ".join(f"{k}: {v}" for k, v in self._models.problems.items())
            raise ServeConfigError(f"no expert could be loaded: {said}")
        self._configured = True
        self._proven = time.monotonic()

    async def score_many(self, call: bytes, timeout_s: float) -> bytes:
        """Score the images of one call (``serving.ray.wire``); one answer each, in order.

        Args:
            call: see :func:`serving.ray.wire.pack_images`.
            timeout_s: how long the caller waits; what is not begun by then is dropped.
        """
        items = unpack_images(call)
        now = time.perf_counter()
        futures = [
            self._batcher.submit(
                _Item(item.product, item.image, now, item.frame_id), len(item.image), timeout_s
            )
            for item in items
        ]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        return pack_inspections([_settled(answer) for answer in answers])

    async def status(self) -> dict[str, object]:
        """What this replica holds: versions by product, problems, items waiting."""
        return {
            "replica": self._replica,
            "versions": {p: loaded.version for p, loaded in self._models.current.items()},
            "shadows": {p: loaded.version for p, loaded in self._models.shadows.items()},
            "pinned": self._models.pinned,
            "problems": dict(self._models.problems),
            "waiting": self._batcher.waiting,
            **self._tally.said(),
        }

    async def warm(self, product: str) -> dict[str, object]:
        """Look at once which version the store has in force for a product, load and warm it up, and
        say what this replica holds."""
        models = self._models
        held = product in models.current
        if self._settings.follow_s or not held:
            models.watch.missed |= not held
            await asyncio.get_running_loop().run_in_executor(self._changer, models.follow)
        return await self.status()

    async def check_health(self) -> None:
        """Pass when images were scored lately, else score the known image and compare.

        It comes every other second, and is also when the store is looked at.
        """
        idle = self._following is None or self._following.done()
        if self._configured and idle and self._models.watch.due():
            self._following = asyncio.create_task(self._follow())
        if time.monotonic() - self._proven < self._settings.health_interval_s:
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._scorer, self._models.verify)
        self._proven = time.monotonic()

    async def close(self) -> None:
        """Stop threads and drop what waits."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._batcher.close()
        await self._shadow.close()
        for pool in (self._decoders, self._scorer, self._changer):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _follow(self) -> None:
        """Take what is in force by now; what goes wrong is logged and does not end the replica."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._changer, self._models.follow)
        except Exception:  # a store that is down leaves what is loaded in force
            log.exception("looking for the versions in force failed")

    async def _work(self, items: Sequence[_Item]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        taken = time.perf_counter()
        decoded = await asyncio.gather(
            *(
                loop.run_in_executor(self._decoders, _decode, item.image, self._bits(item.product))
                for item in items
            )
        )
        ready = (time.perf_counter() - taken) * 1000 / len(items)
        answers: list[Answer | None] = [None] * len(items)
        groups: dict[str, list[int]] = {}
        for i, (item, image) in enumerate(zip(items, decoded, strict=True)):
            if isinstance(image, Failure):
                answers[i] = image
            else:
                groups.setdefault(item.product, []).append(i)
        for product, places in groups.items():
            waited = [{"queue": (taken - items[i].arrived) * 1000, "decode": ready} for i in places]
            images = [image for i in places if not isinstance(image := decoded[i], Failure)]
            scored = await self._score(product, images, waited)
            for i, image, answer in zip(places, images, scored, strict=True):
                answers[i] = self._with_shadow(items[i], image, answer)
        settled = [a if a is not None else to_failure(RuntimeError("not scored")) for a in answers]
        self._tally.add(settled)
        return settled

    async def _score(
        self, product: str, images: list[Image], timings: list[dict[str, float]]
    ) -> list[Answer]:
        loaded = self._models.current.get(product)
        if loaded is None:
            return [self._no_artifact(product)] * len(images)
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._scorer, _score_safely, loaded, images, timings)
        if any(isinstance(a, Inspection) for a in answers):
            self._proven = time.monotonic()
        else:
            self._proven = float("-inf")
        return answers

    def _with_shadow(self, item: _Item, image: Image, answer: Answer) -> Answer:
        """The answer with what the shadow said of earlier frames; this one may be its next."""
        if not isinstance(answer, Inspection):
            return answer
        shadow = self._models.shadows.get(item.product)
        if shadow is not None and item.frame_id is not None:
            self._shadow.offer(item.product, shadow, item.frame_id, image, self._is_idle)
        told = self._shadow.take(item.product) if shadow is not None else ()
        return answer.model_copy(update={"shadows": told}) if told else answer

    def _bits(self, product: str) -> int | None:
        """The bit depth that the product's expert was trained with."""
        loaded = self._models.current.get(product)
        return None if loaded is None else loaded.expert.bit_depth

    def _is_idle(self) -> bool:
        return self._batcher.idle

    def _no_artifact(self, product: str) -> Failure:
        problems = self._models.problems
        self._models.watch.missed = True
        why = problems.get(product) or problems.get("*") or "no version of it is in force"
        message = f"no expert for product {product!r}: {why}"
        return Failure(ReasonCode.NO_ARTIFACT, "NoArtifact", message[:512])


def _decode(image: bytes, bits: int | None) -> Image | Failure:
    try:
        return decode_image(image, bits)
    except Exception as error:  # noqa: BLE001 - one picture must not fail its batch
        return to_failure(error)


def _score_safely(
    loaded: Loaded, images: list[Image], timings: list[dict[str, float]]
) -> list[Answer]:
    """Score a batch; when it fails, each image alone, so that one cannot fail the others."""
    started = time.perf_counter()
    try:
        scored = loaded.expert.score(images)
        each = (time.perf_counter() - started) * 1000 / len(images)
        name, version = loaded.expert.name, loaded.version
        return [
            to_inspection(s, name, version, {**t, "score": each, **s.timings_ms}, measure_look(i))
            for s, t, i in zip(scored, timings, images, strict=True)
        ]
    except Exception as error:
        if len(images) == 1:
            log.exception("scoring failed")
            return [to_failure(error)]
    return [
        answer
        for image, timing in zip(images, timings, strict=True)
        for answer in _score_safely(loaded, [image], [timing])
    ]


def _settled(answer: Answer | BaseException) -> Answer:
    match answer:
        case QueueFull():
            message = "the replica's queue is full"
            return Failure(ReasonCode.EXPERT_UNAVAILABLE, "QueueFull", message, retryable=True)
        case Expired():
            return Failure(ReasonCode.LATE, "Expired", "its time was up before its turn came")
        case BaseException():
            return to_failure(answer)
    return answer
