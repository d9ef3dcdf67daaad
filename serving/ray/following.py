"""Which versions a replica should have: those of the configuration, or what the store has in force.

A replica looks at the store again and again, so that ``latest`` is followed and not only read once:
``andon models use`` moves a pointer, and every replica takes the version without Serve, which would
send it no call meanwhile.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from serving.bundle_store import BundleStore
from serving.errors import DamagedPointerError
from serving.ray.settings import LATEST

Named = Mapping[str, str] | Literal["latest"]
THOROUGH = 12
"""Every so many looks the whole store is listed; the others read the pointers alone."""


@dataclass
class StoreWatch:
    """Resolves versions, and says when it is time to do so again.

    Args:
        store: where the bundles are.
        every_s: seconds between looks; 0 never looks again.
    """

    store: BundleStore
    every_s: float
    missed: bool = False
    """A product was asked for that has no version: the next look lists the whole store."""
    _looked: float = float("-inf")
    _looks: int = 0

    def due(self) -> bool:
        """Whether the store should be looked at; a missed product makes it due at once."""
        if self.every_s == 0:
            return False
        return self.missed or time.monotonic() - self._looked >= self.every_s

    def resolve(
        self, named: Named, held: Mapping[str, str], damaged: dict[str, str]
    ) -> dict[str, str | None]:
        """The digest of each product; None where the store has no version of it.

        A product of which the store does not say which version is in force keeps the one that it
        has here, or had when this host last served.

        Args:
            named: as the configuration names the versions.
            held: what the replica has, by product.
            damaged: receives, by product, why the store does not say it.

        Raises:
            AndonError: the store cannot be read.
        """
        every = isinstance(named, str)
        if not isinstance(named, str) and LATEST not in named.values():
            return dict(named)
        thorough = self.missed or self._looks % THOROUGH == 0 or not held
        self._looked, self.missed = time.monotonic(), False
        self._looks += 1
        following = [p for p in held if isinstance(named, str) or named.get(p) == LATEST]
        newest = {} if thorough else {p: self._pointed(p, damaged) for p in following}
        lacks = {p for p, digest in newest.items() if digest is None} - damaged.keys()
        if thorough or lacks or (not every and set(named) - set(held)):
            newest = dict(self.store.products(damaged))
        if damaged:
            known = {**self.store.remembered(), **held}
            newest |= {p: known[p] for p in damaged if p in known}
        if isinstance(named, str):
            return newest
        return {p: newest.get(p) if v == LATEST else v for p, v in named.items()}

    def _pointed(self, product: str, damaged: dict[str, str]) -> str | None:
        try:
            return self.store.pointed(product)
        except DamagedPointerError as error:
            damaged[product] = str(error)
            return None

    def of_product(self, named: Named, product: str) -> str | None:
        """What ``resolve`` would say of one product; None where it is not served.

        Raises:
            AndonError: the store cannot be read.
        """
        said = named if isinstance(named, str) else named.get(product)
        return self.store.in_force(product) if said == LATEST else said

    def without_store(self, named: Named, held: Mapping[str, str]) -> dict[str, str | None]:
        """What ``resolve`` would say while the store cannot be read: what is or was served here."""
        known = {**self.store.remembered(), **held}
        if isinstance(named, str):
            return dict(known)
        return {p: known.get(p) if v == LATEST else v for p, v in named.items()}
