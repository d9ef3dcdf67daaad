"""The ``AnomalyClassifier`` deployment: actors that name what the vision expert found odd.

Plain Python: ``serving.ray.app`` makes a Ray Serve deployment of it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from serving.bundle_store import BundleStore
from serving.errors import ServeConfigError, ServingError
from serving.naming.base import Classifier
from serving.naming.build import build_classifier
from serving.ray.settings import LATEST, ClassifierArguments, ClassifierUserConfig, parse
from serving.ray.wire import pack_classifications, unpack_requests
from streams.codes import ReasonCode
from streams.errors import AndonError
from streams.events import Classification
from streams.ports import ClassificationRequest, Failure

log = logging.getLogger(__name__)

Answer = Classification | Failure


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
    """

    def __init__(
        self, settings: ClassifierArguments, open_store: Callable[[], BundleStore]
    ) -> None:
        self._settings, self._store = settings, open_store()
        self._stage: _Running | None = None
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._changing = asyncio.Lock()
        self._problems: dict[str, str] = {}

    async def reconfigure(self, user_config: object) -> None:
        """Take new exemplar bundles; requests under way finish with the old ones.

        Raises:
            ServeConfigError: the first configuration cannot be used; see ``VisionExpert``.
        """
        async with self._changing:
            try:
                wanted = parse(
                    ClassifierUserConfig, user_config, "user_config of AnomalyClassifier"
                )
                bundles, problems = await asyncio.to_thread(self._fetch, wanted)
                classifier = build_classifier(self._settings.kind, self._settings.options, bundles)
                await classifier.start()
            except (AndonError, OSError) as error:
                if self._stage is None:
                    raise ServeConfigError(str(error)) from error
                self._problems = {"*": str(error)}
                log.error("kept the running classifier: %s", error)
                return
            fresh = _Running(classifier, {p: path.name for p, path in bundles.items()})
            old, self._stage, self._problems = self._stage, fresh, problems
            if old is not None:
                await _retire(old)

    async def classify_many(self, call: bytes, timeout_s: float) -> bytes:
        """Name the anomalies of one call (``serving.ray.wire``); one answer each, in order."""
        requests = unpack_requests(call)
        answers = await asyncio.gather(*(self._classify(r, timeout_s) for r in requests))
        return pack_classifications(answers)

    async def status(self) -> dict[str, object]:
        """The classifier in use, exemplar bundles by product, problems."""
        stage = self._stage
        return {
            "classifier": "" if stage is None else stage.classifier.name,
            "exemplars": {} if stage is None else dict(stage.versions),
            "problems": dict(self._problems),
        }

    async def check_health(self) -> None:
        """Raise when no classifier could be built."""
        if self._stage is None:
            raise RuntimeError("no classifier: the actor was not configured")

    async def close(self) -> None:
        """Close the classifier."""
        if self._stage is not None:
            stage, self._stage = self._stage, None
            await _retire(stage)

    def _fetch(self, wanted: ClassifierUserConfig) -> tuple[dict[str, Path], dict[str, str]]:
        named = wanted.exemplars
        every = isinstance(named, str)
        asks_latest = isinstance(named, str) or LATEST in named.values()
        newest = self._store.products() if asks_latest else {}
        versions = newest if isinstance(named, str) else named
        bundles, problems = {}, {}
        for product, version in versions.items():
            digest = newest.get(product) if version == LATEST else version
            try:
                if digest is None:
                    raise ServingError("no exemplar bundle in the store; `andon classify teach`")
                bundles[product] = self._store.fetch(product, digest)
            except AndonError as error:
                problems[product] = str(error)
                if not every and self._stage is None:
                    raise
        return bundles, problems

    async def _classify(self, request: ClassificationRequest, timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                async with self._slots:
                    return await self._ask(request, timeout_s)
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


async def _retire(stage: _Running, timeout_s: float = 60.0) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while stage.users:
                stage.idle.clear()
                await stage.idle.wait()
    except TimeoutError:
        log.warning("%d requests still use the old classifier; closing it", stage.users)
    await stage.classifier.close()
