"""The ``VisionExpert`` deployment: images in lists, batches across calls, versions by product.

Plain Python: ``serving.ray.app`` makes a Ray Serve deployment of it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from serving.batching import Batches, Expired, QueueFull
from serving.bundle_store import BundleStore
from serving.errors import ServeConfigError
from serving.experts.images import decode_image
from serving.experts.types import Image
from serving.memory import give_back_memory
from serving.ray.cold import ColdLoads
from serving.ray.inspections import to_failure
from serving.ray.models import ModelSet, loader, no_artifact
from serving.ray.residents import Loaded
from serving.ray.scoring import Answer, Group, score_groups
from serving.ray.settings import VisionSettings, VisionUserConfig, parse
from serving.ray.shadowing import ShadowScorer
from serving.ray.tally import ReplicaTally
from serving.ray.traced import OpenSpans, no_spans, spans_of_call
from serving.ray.wire import pack_inspections, unpack_images
from streams.codes import ReasonCode
from streams.events import Inspection
from streams.masking import masking_logger
from streams.ports import Failure

log = masking_logger(__name__)

MIB = 1 << 20


@dataclass(frozen=True, eq=False)
class _Item:
    product: str
    image: bytes
    arrived: float
    frame_id: UUID | None
    loaded: Loaded | None = None
    """The expert that was loaded for it; None where the product's was in memory."""


class VisionDeployment:
    """A replica for all products, with the experts of those in use in memory.

    Scoring runs in a thread of its own and decoding in others, neither on the event loop.

    Args:
        settings: see :class:`serving.ray.settings.VisionSettings`.
        open_store: opens the artifact store inside the replica; credentials come from its
            environment and travel through no configuration.
        open_spans: opens what takes the spans of traced images; None of it: nothing is traced.
        build: which build of Andon the replica's process runs; asked as it starts.
    """

    def __init__(
        self,
        settings: VisionSettings,
        open_store: Callable[[], BundleStore],
        open_spans: OpenSpans = no_spans,
        build: Callable[[], str] = str,
    ) -> None:
        self._settings = settings
        self._spans = open_spans()
        self._replica = uuid4().hex
        self._models = ModelSet(
            loader(settings),
            open_store(),
            settings.batch,
            settings.follow_s,
            shadowed=settings.shadow_share > 0,
            most_bytes=settings.heads_mib * MIB,
        )
        self._cold = ColdLoads(self._models.again, settings.queue_mib * MIB)
        self._shadow = ShadowScorer(settings.shadow_share)
        self._tally = ReplicaTally(build())
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
            if not self._configured:
                give_back_memory()
        self._models.problems = {**self._models.problems, **problems}
        if not self._configured and self._models.problems and not self._models.versions:
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
        began_s, now = time.time(), time.perf_counter()
        ready = self._models.residents.get
        asked = [_Item(i.product, i.image, now, i.frame_id, ready(i.product)) for i in items]
        futures = [
            self._wait_for_expert(item, timeout_s)
            if item.loaded is None and item.product in self._models.versions
            else self._batcher.submit(item, len(item.image), timeout_s)
            for item in asked
        ]
        settled = [_settled(a) for a in await asyncio.gather(*futures, return_exceptions=True)]
        if self._spans is not None:
            self._spans.tell(spans_of_call(items, settled, began_s))
        return pack_inspections(settled)

    async def status(self) -> dict[str, object]:
        """What serves here: versions by product, what of it is in memory, problems, items
        waiting."""
        residents = self._models.residents
        return {
            "replica": self._replica,
            "versions": dict(self._models.versions),
            "in_memory": list(residents.all),
            "in_memory_mib": round(residents.used_bytes / MIB, 1),
            "held": sorted(residents.held),
            "shadows": {p: loaded.version for p, loaded in self._models.shadows.items()},
            "pinned": self._models.pinned,
            "listed": self._models.listed,
            "problems": dict(self._models.problems),
            "waiting": self._batcher.waiting,
            **self._tally.said(),
        }

    async def warm(self, product: str, station: str = "", loads: bool = True) -> dict[str, object]:
        """Look at once which version the store has in force for a product, load and warm it up, and
        say what this replica holds.

        Args:
            product: whose expert.
            station: whose recipe it is from now on; its product stays in memory.
            loads: whether this replica scores the product.
        """
        models = self._models
        known = product in models.versions
        if self._settings.follow_s or not known:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._changer, models.look, product)
        if loads and product in models.versions:
            if station:
                models.residents.hold(station, product)
            await self._cold.ready(product)
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
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)
        await self._shadow.close()
        self._cold.close()
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
                loop.run_in_executor(self._decoders, _decode, item.image, self._bits(item))
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
        work: list[Group] = []
        for product, places in groups.items():
            loaded = self._loaded(items[places[0]])
            if loaded is None:
                failure = self._no_artifact(product)
                answers = [failure if i in places else a for i, a in enumerate(answers)]
                continue
            waited = [{"queue": (taken - items[i].arrived) * 1000, "decode": ready} for i in places]
            images = [image for i in places if not isinstance(image := decoded[i], Failure)]
            work.append(Group(loaded, places, images, waited))
        for group, scored in zip(work, await self._score(work), strict=True):
            for i, image, answer in zip(group.places, group.images, scored, strict=True):
                answers[i] = self._with_shadow(items[i], image, answer)
        settled = [a if a is not None else to_failure(RuntimeError("not scored")) for a in answers]
        self._tally.add(settled)
        return settled

    async def _wait_for_expert(self, item: _Item, timeout_s: float) -> Answer:
        """The answer to a frame whose expert is not in memory yet."""
        loaded = await self._cold.ready(item.product, len(item.image), timeout_s)
        if isinstance(loaded, Failure):
            self._tally.add([loaded])
            return loaded
        left_s = timeout_s - (time.perf_counter() - item.arrived)
        item = replace(item, loaded=loaded)
        return await self._batcher.submit(item, len(item.image), left_s)

    async def _score(self, work: list[Group]) -> list[list[Answer]]:
        """Answers by product, of one visit to the thread that scores."""
        if not work:
            return []
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._scorer, score_groups, work)
        scored = any(isinstance(a, Inspection) for answers in found for a in answers)
        self._proven = time.monotonic() if scored else float("-inf")
        return found

    def _loaded(self, item: _Item) -> Loaded | None:
        """The product's expert by now; one that was let go meanwhile still answers its frames."""
        return self._models.residents.get(item.product) or item.loaded

    def _with_shadow(self, item: _Item, image: Image, answer: Answer) -> Answer:
        """The answer with what the shadow said of earlier frames; this one may be its next."""
        if not isinstance(answer, Inspection):
            return answer
        shadow = self._models.shadows.get(item.product)
        if shadow is not None and item.frame_id is not None:
            self._shadow.offer(item.product, shadow, item.frame_id, image, self._is_idle)
        told = self._shadow.take(item.product) if shadow is not None else ()
        return answer.model_copy(update={"shadows": told}) if told else answer

    def _bits(self, item: _Item) -> int | None:
        """The bit depth that the product's expert was trained with."""
        loaded = self._loaded(item)
        return None if loaded is None else loaded.expert.bit_depth

    def _is_idle(self) -> bool:
        return self._batcher.idle

    def _no_artifact(self, product: str) -> Failure:
        self._models.watch.missed = True
        return no_artifact(product, self._models.problems)


def _decode(image: bytes, bits: int | None) -> Image | Failure:
    try:
        return decode_image(image, bits)
    except Exception as error:  # noqa: BLE001 - one picture must not fail its batch
        return to_failure(error)


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
