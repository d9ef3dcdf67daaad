"""In-order acknowledgement: what makes concurrent events safe with Faust's offset tracking.

Faust 0.15 commits past an event that is still being worked on when its successor is acknowledged
first (``Consumer._new_offset`` compares with the committed offset off by one, and not at all
before the first commit); killed then, the event is lost. So an event is acknowledged to Faust
only once every earlier event of its partition has been (``docs/adr/0021-acknowledgement.md``).
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass
class _Partition(Generic[Item]):
    generation: int
    waiting: "OrderedDict[int, tuple[Item, bool]]" = field(default_factory=OrderedDict)


class InOrderAcks(Generic[Item]):
    """Tracks events by partition and offset; pure, not thread-safe.

    A partition's ``generation`` is the consumer group's: after a rebalance its events are
    delivered again, so those of an older generation are forgotten.
    """

    def __init__(self) -> None:
        self._partitions: dict[Hashable, _Partition[Item]] = {}

    def track(self, partition: Hashable, generation: int, offset: int, item: Item) -> None:
        """An event arrived."""
        found = self._partitions.get(partition)
        if found is None or found.generation != generation:
            found = self._partitions[partition] = _Partition(generation)
        found.waiting[offset] = (item, False)

    def done(self, partition: Hashable, generation: int, offset: int) -> list[Item]:
        """An event is finished; returns what may be acknowledged now, in offset order."""
        found = self._partitions.get(partition)
        if found is None or found.generation != generation or offset not in found.waiting:
            return []
        found.waiting[offset] = (found.waiting[offset][0], True)
        ready: list[Item] = []
        while found.waiting:
            first = next(iter(found.waiting))
            item, finished = found.waiting[first]
            if not finished:
                break
            del found.waiting[first]
            ready.append(item)
        return ready

    def pending(self) -> int:
        """Events tracked and not yet released."""
        return sum(len(p.waiting) for p in self._partitions.values())
