"""Items of many lines that wait for a place: a line in turn, the most urgent of a line first. Pure.

By deadline alone, a line that comes with five times its parts would stand before all others, whose
parts come later and have later deadlines. By turns it waits behind itself, and the others wait for
one part of each line at most.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(eq=False)
class _Waiting(Generic[Item]):
    line: str
    item: Item | None
    """None once it was taken or had expired."""


@dataclass
class _Line(Generic[Item]):
    turn: int
    """In which round its next item is taken."""
    offer: int = 0
    """Which of its entries among the turns is valid."""
    waiting: list[tuple[float, int, _Waiting[Item]]] = field(default_factory=list)


class Turns(Generic[Item]):
    """Takes and gives items in time that grows with the logarithm of how many wait.

    In each round every line that has something waiting gives one item, in the order of their
    deadlines. A line that had nothing waiting joins the round that is under way.

    >>> turns = Turns[str]()
    >>> for due_s, name in enumerate(("burst 1", "burst 2", "burst 3", "calm 1")):
    ...     turns.push(name.split()[0], due_s, name)
    >>> [turns.pop() for _ in range(4)]
    ['burst 1', 'calm 1', 'burst 2', 'burst 3']
    """

    def __init__(self) -> None:
        self._order = itertools.count()
        self._count = 0
        self._round = 0
        self._lines: dict[str, _Line[Item]] = {}
        self._turns: list[tuple[int, float, int, int, str]] = []
        self._by_due: list[tuple[float, int, _Waiting[Item]]] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        """In no order."""
        return (one.item for _, _, one in self._by_due if one.item is not None)

    @property
    def next_due_s(self) -> float:
        """The earliest deadline; infinite where nothing waits."""
        _drop_gone(self._by_due)
        return self._by_due[0][0] if self._by_due else float("inf")

    def push(self, line: str, due_s: float, item: Item) -> None:
        """An item that shall be taken before ``due_s``."""
        found = self._lines.setdefault(line, _Line(self._round))
        _drop_gone(found.waiting)
        if not found.waiting:
            found.turn = max(found.turn, self._round)
        entry = (due_s, next(self._order), _Waiting(line, item))
        heapq.heappush(self._by_due, entry)
        heapq.heappush(found.waiting, entry)
        self._count += 1
        if found.waiting[0] is entry:
            self._offer(line, found)

    def pop(self) -> Item:
        """The next item. Raises ``IndexError`` where nothing waits."""
        while True:
            turn, _, _, offer, line = heapq.heappop(self._turns)
            found = self._lines[line]
            _drop_gone(found.waiting)
            if offer == found.offer and found.waiting:
                break
        taken = heapq.heappop(found.waiting)[2]
        self._round, found.turn = turn, turn + 1
        _drop_gone(found.waiting)
        if found.waiting:
            self._offer(line, found)
        return self._leave(taken)

    def expired(self, now_s: float) -> list[Item]:
        """Take out what was due until now, in the order of deadlines."""
        found: list[Item] = []
        while self.next_due_s <= now_s:
            found.append(self._leave(heapq.heappop(self._by_due)[2]))
        return found

    def clear(self) -> list[Item]:
        """Take out everything, in no order."""
        left = list(self)
        self._forget()
        return left

    def _offer(self, line: str, found: _Line[Item]) -> None:
        found.offer += 1
        entry = (found.turn, found.waiting[0][0], next(self._order), found.offer, line)
        heapq.heappush(self._turns, entry)

    def _leave(self, one: _Waiting[Item]) -> Item:
        item, one.item = one.item, None
        self._count -= 1
        if not self._count:  # nobody is owed a turn
            self._forget()
        assert item is not None
        return item

    def _forget(self) -> None:
        self._count = 0
        for remembered in (self._lines, self._turns, self._by_due):
            remembered.clear()


def _drop_gone(waiting: list[tuple[float, int, _Waiting[Item]]]) -> None:
    while waiting and waiting[0][2].item is None:
        heapq.heappop(waiting)
