"""Whether a log that is followed goes on where it was read last. Pure.

Faust hands out whatever comes after the offset that it has, and drops without a word what comes
before it. A log that lost its beginning to retention skips messages; one that was made anew, or
that a broker lost the end of, counts from a lower offset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka import TopicPartition


class Numbered(Protocol):
    """A record."""

    @property
    def offset(self) -> int: ...


Records = Mapping[TopicPartition, Sequence[Numbered]]


@dataclass(frozen=True)
class Skipped:
    """Offsets between what was read last and what came next.

    Not each is a message that was lost: markers of transactions and compaction leave holes too.
    """

    place: TopicPartition
    first: int
    last: int
    """Inclusive."""


class Continuity:
    """Knows which offset comes next in each partition.

    >>> @dataclass
    ... class Record:
    ...     offset: int
    >>> log, place = Continuity(), TopicPartition("t", 0)
    >>> log.begins({place: 40})
    >>> log.follow({place: [Record(40), Record(41)]})
    ([], set())
    >>> log.follow({place: [Record(100)]})
    ([Skipped(place=TopicPartition(topic='t', partition=0), first=42, last=99)], set())
    >>> log.follow({place: [Record(3)]})
    ([], {TopicPartition(topic='t', partition=0)})
    """

    def __init__(self) -> None:
        self._next: dict[TopicPartition, int] = {}
        self._anew: set[TopicPartition] = set()

    def begins(self, offsets: Mapping[TopicPartition, int | None]) -> None:
        """Partitions were assigned, and are read from these offsets; None: wherever they begin."""
        self._anew.clear()
        self._next = {place: offset for place, offset in offsets.items() if offset is not None}

    def follow(self, records: Records) -> tuple[list[Skipped], set[TopicPartition]]:
        """What was fetched. Returns what was skipped, and the partitions that went back: nothing of
        these may be used until they are assigned again."""
        skipped: list[Skipped] = []
        for place, batch in records.items():
            if not batch or place in self._anew:
                continue
            first, wanted = batch[0].offset, self._next.get(place)
            if wanted is not None and first < wanted:
                self._anew.add(place)
                continue
            if wanted is not None and first > wanted:
                skipped.append(Skipped(place, wanted, first - 1))
            self._next[place] = batch[-1].offset + 1
        return skipped, self._anew & records.keys()
