"""How far the feed has been read, as a word that a browser gives back.

It is made of the offsets of Kafka's partitions, so that it means the same after a restart of the
console, and at another console.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from streams.topics import ACKS, ALERTS, DECISIONS, STATUS

Partition = tuple[str, int]
Positions = Mapping[Partition, int]
"""Topic and partition -> the first offset that was not read."""
LETTERS: Final[Mapping[str, str]] = {
    DECISIONS.name: "d",
    ACKS.name: "a",
    ALERTS.name: "l",
    STATUS.name: "s",
}
_TOPICS: Final = {letter: topic for topic, letter in LETTERS.items()}
_WORD: Final = re.compile(r"([dals])(\d{1,9})-(\d{1,18})")
LONGEST: Final = 4096


def write_positions(positions: Positions) -> str:
    """
    >>> write_positions({("andon.decisions", 0): 17, ("andon.acks", 2): 5})
    'a2-5.d0-17'
    """
    return ".".join(sorted(f"{LETTERS[t]}{number}-{at}" for (t, number), at in positions.items()))


def read_positions(word: str | None) -> Positions:
    """What ``write_positions`` wrote; nothing for any other word, which then means the beginning.

    >>> read_positions("a2-5.d0-17") == {("andon.acks", 2): 5, ("andon.decisions", 0): 17}
    True
    >>> read_positions("x1-1"), read_positions(None)
    ({}, {})
    """
    if not word or len(word) > LONGEST:
        return {}
    found: dict[Partition, int] = {}
    for part in word.split("."):
        match = _WORD.fullmatch(part)
        if match is None:
            return {}
        found[_TOPICS[match[1]], int(match[2])] = int(match[3])
    return found


def is_beyond(asked: Positions, read: Positions) -> bool:
    """Whether a browser has seen more than there is: the broker lost its log, or it is another."""
    return any(at > read.get(partition, 0) for partition, at in asked.items())


def furthest(one: Positions, other: Positions) -> dict[Partition, int]:
    """
    >>> furthest({("andon.acks", 0): 5}, {("andon.acks", 0): 3, ("andon.acks", 1): 1})
    {('andon.acks', 0): 5, ('andon.acks', 1): 1}
    """
    return {p: max(one.get(p, 0), other.get(p, 0)) for p in {**one, **other}}


def has_news(records: Iterable[tuple[Partition, int]], asked: Positions) -> bool:
    """Whether one of these records, at their offsets, was not read at some positions."""
    return any(offset >= asked.get(partition, 0) for partition, offset in records)
