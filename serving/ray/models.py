"""The experts that serve in one replica: each opened and checked beside the old one, then swapped
in."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np

from serving.bundle_store import SHADOW, BundleStore
from serving.experts.errors import ExpertError
from serving.experts.expert import Expert
from serving.experts.types import Image
from serving.extensions import named_function
from serving.ray.following import StoreWatch
from serving.ray.residents import Loaded, Residents
from serving.ray.settings import LATEST, VisionSettings, VisionUserConfig
from streams.codes import ReasonCode
from streams.errors import AndonError
from streams.masking import masking_logger
from streams.ports import Failure

log = masking_logger(__name__)

Load = Callable[[Path], Expert]
REFUSALS = (AndonError, ExpertError, OSError, RuntimeError, ValueError)
"""What opening a version may raise."""
AGAIN_S = 5.0
"""So long after a product could not be loaded again nobody tries, seconds."""
KNOWN_SIDE = 256
TOLERANCE = 0.02
"""Relative difference at which the known image's score means a broken device; bf16 stays below."""


def known_image() -> Image:
    """The image of the health check: fixed noise over a gradient, uint8 (256, 256, 3)."""
    noise = np.random.default_rng(7).integers(0, 64, (KNOWN_SIDE, KNOWN_SIDE, 3))
    ramp = np.linspace(0, 191, KNOWN_SIDE)[:, None, None]
    return (noise + ramp).astype(np.uint8)


def loader(settings: VisionSettings) -> Load:
    """How artifact folders are opened on this replica.

    Raises:
        ServeConfigError: ``settings.loader`` names nothing that can be imported.
    """
    load = named_function(settings.loader, "vision.loader")
    options = settings.model_dump(include={"runtime", "precision", "device", "threads"})
    return lambda path: cast(Expert, load(path, **options))


@dataclass(frozen=True)
class _Refusal:
    """A version that could not be opened."""

    version: str
    files: Mapping[str, float]
    """When each of its files in the store was written: while it is still being copied there, it is
    tried again."""
    why: str


class ModelSet:
    """Experts by product. A product is opened once before its version serves here; whose expert is
    not in memory any more is loaded again when it is asked for."""

    def __init__(
        self,
        load: Load,
        store: BundleStore,
        batch: int,
        follow_s: float = 0.0,
        shadowed: bool = False,
        most_bytes: int = 1 << 30,
    ) -> None:
        self._load, self._store, self._batch = load, store, batch
        self.watch = StoreWatch(store, follow_s)
        self.residents = Residents(most_bytes)
        self._wanted = VisionUserConfig(products={})
        self._versions: Mapping[str, str] = MappingProxyType({})
        self._known: dict[str, tuple[str, float]] = {}
        """Version by product, with what it said about the known image when it was first opened."""
        self._shadowed = shadowed
        self.shadows: Mapping[str, Loaded] = MappingProxyType({})
        """The version that is scored beside the one in force, by product."""
        self._refused: dict[str, _Refusal] = {}
        self._missing: dict[str, tuple[float, str]] = {}
        """When a product could not be loaded again, and why."""
        self._changing = threading.Lock()
        self._problems: Mapping[str, str] = {}

    @property
    def current(self) -> Mapping[str, Loaded]:
        """What is in memory now."""
        return self.residents.all

    @property
    def versions(self) -> Mapping[str, str]:
        """What serves now, in memory or loaded when it is asked for: digest by product."""
        return self._versions

    @property
    def problems(self) -> Mapping[str, str]:
        """Why a product has no expert, or not the version that was asked for."""
        missing = {product: why for product, (_, why) in list(self._missing.items())}
        return {**self._problems, **missing} if missing else self._problems

    @problems.setter
    def problems(self, found: Mapping[str, str]) -> None:
        self._problems = found

    @property
    def pinned(self) -> list[str]:
        """Products whose digest stands in the configuration, which the store cannot change."""
        named = self._wanted.products
        return [] if isinstance(named, str) else [p for p, v in named.items() if v != LATEST]

    @property
    def listed(self) -> list[str] | None:
        """Products that the configuration names; None where every product of the store serves."""
        named = self._wanted.products
        return None if isinstance(named, str) else list(named)

    def before(self) -> VisionUserConfig:
        """What this host served before, as a configuration; no product where that is not known."""
        return VisionUserConfig(products=self._store.remembered())

    def change(self, wanted: VisionUserConfig) -> None:
        """Open what ``wanted`` asks for. Blocking; frames meanwhile get the experts of before.

        A product whose new version cannot be loaded keeps the one that it has, and the reason
        stands in ``problems``: one bad release must not take the other products down. A process
        that starts anew takes the one that this host served before.
        """
        with self._changing:
            self._wanted, self._refused = wanted, {}
            self._take()

    def follow(self) -> None:
        """Take what the store has in force by now. Blocking, and silent when nothing changed."""
        with self._changing:
            self._take()

    def look(self, product: str) -> None:
        """Take what the store has in force for one product by now. Blocking."""
        with self._changing:
            problems = {k: why for k, why in self._problems.items() if k not in (product, "*")}
            try:
                wanted = self.watch.of_product(self._wanted.products, product)
            except AndonError as error:
                self.problems = {**problems, product: str(error)}
                log.error("the artifact store: %s", error)
                return
            if wanted is None:
                self._take()  # there is none, or none any more
                return
            if (accepted := self._accept(product, wanted, problems)) is not None:
                self._serve({**self._versions, product: accepted})
            self.problems = problems

    def again(self, product: str) -> Loaded | Failure:
        """The expert of a product that serves here, loaded where it is not in memory. Blocking."""
        version = self._versions.get(product)
        if version is None:
            return no_artifact(product, self.problems)
        found = self.residents.get(product)
        if found is not None and found.version == version:
            return found
        since, why = self._missing.get(product, (float("-inf"), ""))
        if time.monotonic() - since < AGAIN_S:
            return no_artifact(product, {product: why})
        try:
            loaded = self._open(product, version)
        except REFUSALS as error:
            why = f"{version[:12]}: {error}"
            self._missing[product] = time.monotonic(), why
            log.error("product %s, version %s, loaded again: %s", product, version[:12], error)
            return no_artifact(product, {product: why})
        self._missing.pop(product, None)
        if self._versions.get(product) == version:
            self.residents.put(product, loaded)
        return loaded

    def verify(self) -> None:
        """Score the known image with every expert in memory.

        Raises:
            RuntimeError: a score differs from that of the warm-up.
        """
        for product, loaded in self.current.items():
            score = loaded.expert.score([known_image()], maps=False)[0].score
            if not _alike(score, loaded.known_score):
                raise RuntimeError(
                    f"{product}: the known image scored {score}, {loaded.known_score} at warm-up"
                )

    def _take(self) -> None:
        held = dict(self._versions)
        problems: dict[str, str] = {}
        try:
            wanted = self.watch.resolve(self._wanted.products, held, problems)
        except AndonError as error:
            problems["*"] = str(error)
            log.error("the artifact store: %s", error)
            wanted = self.watch.without_store(self._wanted.products, held)
        now: dict[str, str] = {}
        lines = self.residents.held
        for product, version in sorted(wanted.items(), key=lambda item: item[0] in lines):
            if version is None:
                problems.setdefault(product, "no version in the artifact store; train it first")
            elif (accepted := self._accept(product, version, problems)) is not None:
                now[product] = accepted
                self._versions = MappingProxyType({**self._versions, product: accepted})
        self.problems = problems
        self._serve(now, held)
        if self._shadowed:
            self.shadows = MappingProxyType(self._take_shadows(now))

    def _serve(self, now: Mapping[str, str], held: Mapping[str, str] | None = None) -> None:
        """These versions from now on; ``held`` is what served before."""
        held = self._versions if held is None else held
        self._versions = MappingProxyType(dict(now))
        self.residents.keep_only(now)
        if now != held:
            with suppress(OSError):  # a folder that may not be written: nothing to go back to
                self._store.remember({**self._store.remembered(), **now})

    def _take_shadows(self, now: Mapping[str, str]) -> dict[str, Loaded]:
        """The shadows that the store names; one that cannot be loaded is a problem, no more."""
        fresh: dict[str, Loaded] = {}
        for product, version in now.items():
            place = f"{product} (shadow)"
            try:
                wanted = self._store.pointed(product, SHADOW)
                old = self.shadows.get(product)
                if wanted is None or wanted == version:
                    self._refused.pop(place, None)
                elif old is not None and old.version == wanted:
                    fresh[product] = old
                else:
                    fresh[product] = self._tried(place, product, wanted)
            except REFUSALS as error:
                self.problems = {**self._problems, place: str(error)}
        return fresh

    def _accept(self, product: str, version: str, problems: dict[str, str]) -> str | None:
        """The version asked for, opened and in memory, or else the one that the product has or
        had."""
        old = self._versions.get(product)
        if old == version:
            return old
        try:
            loaded = self._tried(product, product, version)
        except REFUSALS as error:
            problems[product] = str(error)
        else:
            return self._put(product, loaded)
        before = self._store.remembered().get(product)
        if old is None and before is not None and before != version:
            with suppress(*REFUSALS):
                old = self._put(product, self._open(product, before))
        if old is not None:
            problems[product] += f"; it goes on with {old[:12]}"
        return old

    def _tried(self, place: str, product: str, version: str) -> Loaded:
        """The version opened; refused again as it was before while it lies in the store as then.

        Args:
            place: what refuses it: the product, or its shadow.
        """
        files = self._store.files(product, version)
        known = self._refused.get(place)
        if known is not None and (known.version, known.files) == (version, files):
            raise ValueError(known.why)
        try:
            loaded = self._open(product, version)
        except REFUSALS as error:
            why = f"{version[:12]}: {error}"
            self._refused[place] = _Refusal(version, files, why)
            log.error("%s: %s", place, why)
            raise ValueError(why) from None
        self._refused.pop(place, None)
        return loaded

    def _put(self, product: str, loaded: Loaded) -> str:
        self._known[product] = loaded.version, loaded.known_score
        self._missing.pop(product, None)
        self.residents.put(product, loaded)
        return loaded.version

    def _open(self, product: str, version: str) -> Loaded:
        expert = self._store.opened(product, version, self._load)
        image = known_image()
        before, known = self._known.get(product, ("", 0.0))
        if self._batch > 1 and before != version:
            expert.score([image] * self._batch)
        score = expert.score([image])[0].score
        if not math.isfinite(score) or (before == version and not _alike(score, known)):
            raise ValueError(f"the known image scored {score}")
        return Loaded(expert, version, score)


def no_artifact(product: str, problems: Mapping[str, str]) -> Failure:
    """What a frame of a product without an expert is told."""
    why = problems.get(product) or problems.get("*") or "no version of it is in force"
    message = f"no expert for product {product!r}: {why}"
    return Failure(ReasonCode.NO_ARTIFACT, "NoArtifact", message[:512])


def _alike(score: float, known: float) -> bool:
    return math.isclose(score, known, rel_tol=TOLERANCE, abs_tol=1e-3)
