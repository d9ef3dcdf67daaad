"""Roles that run in this process, for benchmarks of what lies between them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from streams.roles.results import Results
from streams.roles.runner import MakeRole, RoleRunner, RunningRole


def opened_role(make: Callable[[Results], RunningRole]) -> MakeRole:
    """A role whose ports need no opening."""

    @asynccontextmanager
    async def opened(results: Results) -> AsyncIterator[RunningRole]:
        yield make(results)

    return opened


@asynccontextmanager
async def running_roles(runners: Sequence[RoleRunner]) -> AsyncIterator[None]:
    """Roles in this process, from all ready to all stopped. A role that fails ends the run."""
    stop, ready = asyncio.Event(), [asyncio.Event() for _ in runners]
    async with asyncio.TaskGroup() as group:
        for runner, one in zip(runners, ready, strict=True):
            group.create_task(runner.run(stop, one.set))
        try:
            for one in ready:
                await one.wait()
            yield
        finally:
            stop.set()
