"""What a classifier actor remembers of calls that outlived their deadline."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from streams.events import Classification
from streams.ports import Asked


@dataclass(eq=False)
class _UnderWay:
    """Calls for one question that go on, and whether waiting for them is of any more use."""

    calls: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)


class LateStore:
    """``serving.naming.base.OnLate``: keeps the first late answer to each question.

    Args:
        most: answers kept; the oldest is dropped beyond.
        age_s: how long an answer is kept, seconds.
        clock: monotonic, seconds.
    """

    def __init__(
        self, most: int, age_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._age_s, self._clock = most, age_s, clock
        self._under_way: dict[Asked, _UnderWay] = {}
        self._answers: OrderedDict[Asked, tuple[float, Classification]] = OrderedDict()

    def __len__(self) -> int:
        """Answers kept."""
        self._drop_old()
        return len(self._answers)

    def goes_on(self, asked: Asked) -> None:
        """See ``OnLate``."""
        self._under_way.setdefault(asked, _UnderWay()).calls += 1

    def ended(self, asked: Asked, answer: Classification | None) -> None:
        """See ``OnLate``. A second answer to the same question is not kept."""
        if answer is not None and asked not in self._answers:
            self._answers[asked] = (self._clock(), answer)
            if len(self._answers) > self._most:
                self._answers.popitem(last=False)
        call = self._under_way[asked]
        call.calls -= 1
        if answer is not None or call.calls == 0:
            call.over.set()
        if call.calls == 0:
            del self._under_way[asked]

    def find(self, questions: Iterable[Asked]) -> dict[Asked, Classification]:
        """The answers kept to these questions; they stay."""
        self._drop_old()
        return {asked: self._answers[asked][1] for asked in questions if asked in self._answers}

    async def wait(self, asked: Asked) -> Classification | None:
        """The answer to ``asked``, also of a call still under way; None when none is to come."""
        if asked not in self._answers and asked in self._under_way:
            await self._under_way[asked].over.wait()
        return self.find([asked]).get(asked)

    def _drop_old(self) -> None:
        oldest = self._clock() - self._age_s
        while self._answers and next(iter(self._answers.values()))[0] < oldest:
            self._answers.popitem(last=False)
