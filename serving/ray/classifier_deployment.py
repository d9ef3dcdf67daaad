"""The ``AnomalyClassifier`` deployment: actors that name what the vision expert found odd.

Plain Python: ``serving.ray.app`` makes a Ray Serve deployment of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from serving.bundle_store import BundleStore
from serving.errors import ServeConfigError, ServingError
from serving.memory import give_back_memory
from serving.naming.base import Classifier
from serving.naming.build import asks_endpoints, bills, build_classifier
from serving.naming.exemplars import load_bundle
from serving.ray.following import StoreWatch
from serving.ray.settings import LATEST, ClassifierArguments, ClassifierUserConfig, parse
from serving.ray.tally import ReplicaTally
from serving.ray.traced import OpenSpans, named_work, no_spans
from serving.ray.wire import pack_classifications, unpack_requests
from streams.codes import ReasonCode
from streams.errors import AndonError
from streams.events import Classification
from streams.masking import masking_logger
from streams.ports import ClassificationRequest, Failure

log = masking_logger(__name__)

Answer = Classification | Failure
COUNTED = 12
"""So many looks in turn must find fewer replicas before each has a larger share."""
ANSWER_S = 0.05
"""So long before a call ends its classifier has to have answered."""
_RETIRES_WITHIN_S = 60.0


@dataclass(eq=False)
class _Running:
    """A classifier at work; closed once it is retired and nobody uses it."""

    classifier: Classifier
    versions: dict[str, str]
    users: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class ClassifierDeployment:
    """An actor with one classifier, which new exemplars replace while requests go on.

    Args:
        settings: see :class:`serving.ray.settings.ClassifierArguments`.
        open_store: opens the exemplar store inside the actor.
        open_spans: opens what takes the spans of traced requests; None of it: nothing is traced.
        count: how many such actors there are, which share what an endpoint may be asked.
        build: which build of Andon the actor's process runs; asked as it starts.
    """

    def __init__(
        self,
        settings: ClassifierArguments,
        open_store: Callable[[], BundleStore],
        open_spans: OpenSpans = no_spans,
        count: Callable[[], int] = lambda: 1,
        build: Callable[[], str] = str,
    ) -> None:
        self._settings, self._store = settings, open_store()
        self._spans = open_spans()
        self._count = count if asks_endpoints(settings.kind) else lambda: 1
        self._counted: deque[int] = deque([1], maxlen=COUNTED)
        self._sharing = 1
        self._stage: _Running | None = None
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._changing = asyncio.Lock()
        self._problems: dict[str, str] = {}
        self._not_followed: dict[str, str] = {}
        """What the last look at the store did not find out and why, by product."""
        self._replica = uuid4().hex
        self._tally = ReplicaTally(build())
        self._watch = StoreWatch(self._store, settings.follow_s)
        self._wanted = ClassifierUserConfig(exemplars={})
        self._resolved: dict[str, str | None] = {}
        self._refused: dict[str, Mapping[str, float]] = {}
        """Products whose bundle cannot be used, with when each of its files in the store was
        written: while it is still being copied there, it is tried again."""
        self._following: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: object) -> None:
        """Take new exemplar bundles; requests under way finish with the old ones.

        Raises:
            ServeConfigError: the first configuration cannot be used; see ``VisionExpert``.
        """
        async with self._changing:
            try:
                self._wanted = self._parsed(user_config)
                await self._look_round()
                await self._take(await asyncio.to_thread(self._resolve))
            except (AndonError, OSError) as error:
                if self._stage is None:
                    raise ServeConfigError(str(error)) from error
                self._problems = {"*": str(error)}
                log.error("kept the running classifier: %s", error)

    def _parsed(self, user_config: object) -> ClassifierUserConfig:
        """What is asked for; an actor that starts anew falls back on what this host served."""
        try:
            return parse(ClassifierUserConfig, user_config, "user_config of AnomalyClassifier")
        except ServeConfigError as error:
            before = self._store.remembered()
            if self._stage is not None or not before:
                raise
            log.error("kept the bundles that were served before: %s", error)
            return ClassifierUserConfig(exemplars=before)

    async def _follow(self) -> None:
        """Take the bundles that the store has in force by now; what goes wrong is logged."""
        async with self._changing:
            try:
                await self._look_round()
                resolved = await asyncio.to_thread(self._resolve)
                shared = max(self._counted) == self._sharing
                same = shared and resolved == self._resolved
                if not same or await asyncio.to_thread(self._lies_otherwise):
                    await self._take(resolved)
            except Exception as error:  # a store that is down leaves what is loaded in force
                self._not_followed = {"*": str(error)}
                log.exception("looking for the exemplars in force failed")

    async def _look_round(self) -> None:
        """Count who shares the endpoints. More at once is believed at once, fewer after a while:
        one that is started anew comes back."""
        try:
            self._counted.append(max(1, await asyncio.to_thread(self._count)))
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, the number stays
            log.warning("how many replicas there are is not known: %s", error)

    async def _take(self, resolved: dict[str, str | None]) -> None:
        bundles, problems = await asyncio.to_thread(self._fetch, resolved)
        sharing, own = max(self._counted), self._settings
        classifier = build_classifier(own.kind, own.options, bundles, sharing)
        await classifier.start()
        fresh = _Running(classifier, {p: path.name for p, path in bundles.items()})
        old, self._stage, self._problems = self._stage, fresh, problems
        self._resolved, self._sharing = resolved, sharing
        with suppress(OSError):  # a folder that may not be written: nothing to go back to
            self._store.remember({**self._store.remembered(), **fresh.versions})
        if old is not None:
            await _retire(old)
        await asyncio.to_thread(give_back_memory)

    async def classify_many(self, call: bytes, timeout_s: float) -> bytes:
        """Name the anomalies of one call (``serving.ray.wire``); one answer each, in order."""
        requests = unpack_requests(call)
        one = self._classify if self._spans is None else self._traced
        answers = await asyncio.gather(*(one(r, timeout_s) for r in requests))
        self._tally.add(answers)
        return pack_classifications(answers)

    async def status(self) -> dict[str, object]:
        """The classifier in use, exemplar bundles by product, problems."""
        stage = self._stage
        return {
            "replica": self._replica,
            "classifier": "" if stage is None else stage.classifier.name,
            "versions": dict(self._versions),
            "pinned": self._pinned,
            "listed": self._listed,
            "problems": {**self._not_followed, **self._problems},
            "sharing": self._sharing,
            "asked": {
                name: {"answered": asdict(bill.answered), "unanswered": asdict(bill.unanswered)}
                for name, bill in bills().items()
            },
            **self._tally.said(),
        }

    async def check_health(self) -> None:
        """Raise when no classifier could be built; look at the store when it is time."""
        if self._stage is None:
            raise RuntimeError("no classifier: the actor was not configured")
        idle = self._following is None or self._following.done()
        if idle and self._watch.due():
            self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Close the classifier."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._stage is not None:
            stage, self._stage = self._stage, None
            await _retire(stage)
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)

    def _resolve(self) -> dict[str, str | None]:
        damaged: dict[str, str] = {}
        resolved = self._watch.resolve(self._wanted.exemplars, self._versions, damaged)
        self._not_followed = damaged
        return resolved

    @property
    def _listed(self) -> list[str] | None:
        named = self._wanted.exemplars
        return None if isinstance(named, str) else list(named)

    @property
    def _pinned(self) -> list[str]:
        named = self._wanted.exemplars
        return [] if isinstance(named, str) else [p for p, v in named.items() if v != LATEST]

    @property
    def _versions(self) -> dict[str, str]:
        return {} if self._stage is None else self._stage.versions

    def _fetch(self, resolved: Mapping[str, str | None]) -> tuple[dict[str, Path], dict[str, str]]:
        """The bundle of each product, or else the one that it has or that this host served."""
        named = self._wanted.exemplars
        known = {**self._store.remembered(), **self._versions}
        bundles, problems = {}, {}
        self._refused = {}
        for product, digest in resolved.items():
            try:
                if digest is None:
                    why = "no exemplar bundle in the store; `andon classify teach`"
                    raise ServingError(self._not_followed.get(product, why))
                self._refused[product] = self._store.files(product, digest)
                bundles[product] = self._verified(product, digest)
                del self._refused[product]
            except AndonError as error:
                problems[product] = str(error)
                log.error("product %s, exemplars %s: %s", product, (digest or "none")[:12], error)
                before = known.get(product)
                if before is not None and digest is not None and before != digest:
                    with suppress(AndonError):
                        bundles[product] = self._verified(product, before)
                        problems[product] += f"; it goes on with {before[:12]}"
                if product not in bundles and not isinstance(named, str) and self._stage is None:
                    raise
        return bundles, problems

    def _verified(self, product: str, digest: str) -> Path:
        """The folder of a bundle that can be read: one that cannot takes no other product along.

        Raises:
            AndonError: it cannot.
        """
        if ":" in self._settings.kind:  # a classifier of the plant's own, with bundles of its own
            return self._store.fetch(product, digest)

        def verify(path: Path) -> Path:
            load_bundle(path)
            return path

        return self._store.opened(product, digest, verify)

    def _lies_otherwise(self) -> bool:
        """Whether a bundle that could not be used was copied on."""
        return any(
            files != self._store.files(product, digest)
            for product, files in self._refused.items()
            if (digest := self._resolved.get(product)) is not None
        )

    async def _traced(self, request: ClassificationRequest, timeout_s: float) -> Answer:
        assert self._spans is not None
        with named_work(request, self._spans) as said:
            answer = await self._classify(request, timeout_s)
            said(answer)
        return answer

    async def _classify(self, request: ClassificationRequest, timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s) as limit:
                async with self._slots:
                    left_s = (limit.when() or 0.0) - asyncio.get_running_loop().time()
                    # by the classifier's own clock first: what it has by then is not lost
                    return await self._ask(request, left_s - min(0.1 * left_s, ANSWER_S))
        except TimeoutError:
            message = f"no answer within {timeout_s * 1000:.0f} ms"
            return Failure(ReasonCode.LATE, "TimeoutError", message)
        except Exception as error:
            log.exception("classifying failed")
            kind, message = type(error).__name__, str(error)[:512]
            return Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, kind, message, retryable=True)

    async def _ask(self, request: ClassificationRequest, timeout_s: float) -> Answer:
        stage = self._stage
        if stage is None:
            raise ServingError("the actor was not configured")
        stage.users += 1
        try:
            return await stage.classifier.classify(request, timeout_s)
        finally:
            stage.users -= 1
            if stage.users == 0:
                stage.idle.set()


async def _retire(stage: _Running) -> None:
    try:
        async with asyncio.timeout(_RETIRES_WITHIN_S):
            while stage.users:
                stage.idle.clear()
                await stage.idle.wait()
    except TimeoutError:
        log.warning("%d requests still use the old classifier; closing it", stage.users)
    await stage.classifier.close()
