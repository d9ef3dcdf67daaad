"""Work on policies that takes seconds: in a process beside the console, so that pages go on."""

import asyncio
import multiprocessing
import os
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final

from console.policies.answers import PolicyDifference
from console.policies.judged import difference_of, difference_of_bodies
from policies.evaluate import ResolvedPolicy
from streams.errors import UnavailableError

_NICE: Final = 10
_MOST_WAITING: Final = 4
_REMEMBERED: Final = 200
_LONGEST_S: Final = 60.0


class Differences:
    """Compares policies in one process of its own, which is started when it is asked for first."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0
        self._known: OrderedDict[tuple[str, str], PolicyDifference] = OrderedDict()

    def warm(self) -> None:
        """Start the process, so that the first question need not wait for it."""
        try:
            self._started().submit(_nothing)
        except BrokenProcessPool:  # it was killed: the page must not fail for it, ever after
            self.close()
            self._started().submit(_nothing)

    async def between(
        self, before: ResolvedPolicy | None, after: ResolvedPolicy
    ) -> PolicyDifference:
        """What changes, in words.

        Raises:
            UnavailableError: too many ask at once, or it took longer than a minute.
        """
        if before is None or before.policy_hash == after.policy_hash:
            return difference_of(before, after)
        key = before.policy_hash, after.policy_hash
        if key not in self._known:
            self._known[key] = await self._asked(dict(before.body), dict(after.body))
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]

    async def _asked(
        self, before: Mapping[str, object], after: Mapping[str, object]
    ) -> PolicyDifference:
        if self._waiting >= _MOST_WAITING:
            raise UnavailableError("several comparisons are running already; try again in a moment")
        self._waiting += 1
        try:
            asked = self._started().submit(difference_of_bodies, dict(before), dict(after))
            return await asyncio.wait_for(asyncio.wrap_future(asked), _LONGEST_S)
        except (BrokenProcessPool, TimeoutError) as error:
            self.close()
            raise UnavailableError(f"the comparison did not end: {error!r}; try again") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the process, whatever it does."""
        pool, self._pool = self._pool, None
        if pool is not None:
            running = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.kill()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=os.nice, initargs=(_NICE,))
        return self._pool


def _nothing() -> None:
    """Asked for what importing this module takes."""
