"""The experts that one replica holds: loaded beside the old ones, checked, then swapped in."""

import math
import threading
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
from serving.ray.settings import LATEST, VisionSettings, VisionUserConfig
from streams.errors import AndonError
from streams.masking import masking_logger

log = masking_logger(__name__)

Load = Callable[[Path], Expert]
REFUSALS = (AndonError, ExpertError, OSError, RuntimeError, ValueError)
"""What opening a version may raise."""
KNOWN_SIDE = 256
TOLERANCE = 0.02
"""Relative difference at which the known image's score means a broken device; bf16 stays below."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """One expert at work, and what it said about the known image when it was warmed up."""

    expert: Expert
    version: str
    known_score: float


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


class ModelSet:
    """Experts by product. ``current`` is replaced whole, so that readers need no lock."""

    def __init__(
        self,
        load: Load,
        store: BundleStore,
        batch: int,
        follow_s: float = 0.0,
        shadowed: bool = False,
    ) -> None:
        self._load, self._store, self._batch = load, store, batch
        self.watch = StoreWatch(store, follow_s)
        self._wanted = VisionUserConfig(products={})
        self._current: Mapping[str, Loaded] = MappingProxyType({})
        self._shadowed = shadowed
        self.shadows: Mapping[str, Loaded] = MappingProxyType({})
        """The version that is scored beside the one in force, by product."""
        self._refused: dict[str, str] = {}
        self._changing = threading.Lock()
        self.problems: Mapping[str, str] = {}
        """Why a product has no expert, or not the version that was asked for."""

    @property
    def current(self) -> Mapping[str, Loaded]:
        """What serves now."""
        return self._current

    @property
    def pinned(self) -> list[str]:
        """Products whose digest stands in the configuration, which the store cannot change."""
        named = self._wanted.products
        return [] if isinstance(named, str) else [p for p, v in named.items() if v != LATEST]

    def before(self) -> VisionUserConfig:
        """What this host served before, as a configuration; no product where that is not known."""
        return VisionUserConfig(products=self._store.remembered())

    def change(self, wanted: VisionUserConfig) -> None:
        """Load what ``wanted`` asks for, then swap. Blocking; frames meanwhile get the old experts.

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

    def verify(self) -> None:
        """Score the known image with every expert.

        Raises:
            RuntimeError: a score differs from that of the warm-up.
        """
        for product, loaded in self._current.items():
            score = loaded.expert.score([known_image()], maps=False)[0].score
            if not math.isclose(score, loaded.known_score, rel_tol=TOLERANCE, abs_tol=1e-3):
                raise RuntimeError(
                    f"{product}: the known image scored {score}, {loaded.known_score} at warm-up"
                )

    def _take(self) -> None:
        held = {product: loaded.version for product, loaded in self._current.items()}
        problems: dict[str, str] = {}
        try:
            wanted = self.watch.resolve(self._wanted.products, held)
        except AndonError as error:
            problems["*"] = str(error)
            log.error("the artifact store: %s", error)
            wanted = self.watch.without_store(self._wanted.products, held)
        fresh: dict[str, Loaded] = {}
        for product, version in wanted.items():
            if version is None:
                problems[product] = "no version in the artifact store; train it first"
            elif (loaded := self._version(product, version, problems)) is not None:
                fresh[product] = loaded
        self.problems = problems
        now = {product: loaded.version for product, loaded in fresh.items()}
        self._current = MappingProxyType(fresh)
        if self._shadowed:
            self.shadows = MappingProxyType(self._take_shadows(now))
        if now != held:
            with suppress(OSError):  # a folder that may not be written: nothing to go back to
                self._store.remember({**self._store.remembered(), **now})

    def _take_shadows(self, now: Mapping[str, str]) -> dict[str, Loaded]:
        """The shadows that the store names; one that cannot be loaded is a problem, no more."""
        fresh: dict[str, Loaded] = {}
        for product, version in now.items():
            old = self.shadows.get(product)
            try:
                wanted = self._store.pointed(product, SHADOW)
                if wanted is None or wanted == version:
                    continue
                if old is not None and old.version == wanted:
                    fresh[product] = old
                elif self._refused.get(f"{product} (shadow)") != wanted:
                    self._refused[f"{product} (shadow)"] = wanted
                    fresh[product] = self._open(product, wanted)
            except REFUSALS as error:
                self.problems = {**self.problems, f"{product} (shadow)": str(error)}
                log.error("product %s, shadow: %s", product, error)
        return fresh

    def _version(self, product: str, version: str, problems: dict[str, str]) -> Loaded | None:
        """The version asked for, or else the one that the product has or had."""
        old = self._current.get(product)
        if old is not None and old.version == version:
            return old
        if self._refused.get(product) == version:
            problems[product] = self.problems.get(product, f"{version[:12]}: refused")
            return old
        try:
            return self._open(product, version)
        except REFUSALS as error:
            problems[product] = f"{version[:12]}: {error}"
            self._refused[product] = version
            log.error("product %s, version %s: %s", product, version[:12], error)
        before = self._store.remembered().get(product)
        if old is None and before is not None and before != version:
            with suppress(*REFUSALS):
                old = self._open(product, before)
                problems[product] += f"; it goes on with {before[:12]}"
        return old

    def _open(self, product: str, version: str) -> Loaded:
        expert = self._load(self._store.fetch(product, version))
        image = known_image()
        if self._batch > 1:
            expert.score([image] * self._batch)
        score = expert.score([image])[0].score
        if not math.isfinite(score):
            raise ValueError(f"the known image scored {score}")
        return Loaded(expert, version, score)
