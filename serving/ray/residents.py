"""The experts that one replica has in memory: within a bound, and the ones asked for last."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from serving.experts.expert import Expert


@dataclass(frozen=True, eq=False)
class Loaded:
    """One expert at work, and what it said about the known image when it was warmed up."""

    expert: Expert
    version: str
    known_score: float


class Residents:
    """Experts by product, the one asked for longest ago first; may be asked from any thread.

    What a station's recipe names is never let go, and neither is the expert that came last: where
    these need more than the bound, they get it.

    Args:
        most_bytes: what the experts' own tensors may take.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._held: dict[str, str] = {}
        self._lock = threading.Lock()

    def get(self, product: str) -> Loaded | None:
        """A product's expert, asked for just now; None where it is not in memory."""
        with self._lock:
            found = self._loaded.get(product)
            if found is not None:
                self._loaded.move_to_end(product)
            return found

    def put(self, product: str, loaded: Loaded) -> list[str]:
        """Take an expert in, in place of the product's earlier one; products that were let go."""
        with self._lock:
            self._loaded[product] = loaded
            self._loaded.move_to_end(product)
            gone = []
            used = self._used()
            for name, other in list(self._loaded.items()):
                if used <= self._most:
                    break
                if name != product and name not in self._held.values():
                    used -= other.expert.memory_bytes
                    del self._loaded[name]
                    gone.append(name)
            return gone

    def hold(self, station: str, product: str) -> None:
        """The product of a station's recipe, from now until the station names another."""
        with self._lock:
            self._held[station] = product

    def keep_only(self, versions: Mapping[str, str]) -> None:
        """Let go what is of no version named here."""
        with self._lock:
            for product, loaded in list(self._loaded.items()):
                if versions.get(product) != loaded.version:
                    del self._loaded[product]

    @property
    def all(self) -> Mapping[str, Loaded]:
        """What is in memory now, the one asked for longest ago first."""
        with self._lock:
            return MappingProxyType(dict(self._loaded))

    @property
    def held(self) -> Collection[str]:
        """Products of stations' recipes."""
        with self._lock:
            return frozenset(self._held.values())

    @property
    def used_bytes(self) -> int:
        """What the experts in memory take."""
        with self._lock:
            return self._used()

    def _used(self) -> int:
        return sum(loaded.expert.memory_bytes for loaded in self._loaded.values())
