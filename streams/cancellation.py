"""Tells a future that a library cancelled from a task that was asked to end; ends tasks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager


def asked_to_end() -> bool:
    """Whether the running task itself was cancelled (``CancelledError`` must then go on)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def first_done(*waits: Awaitable[object]) -> None:
    """Return when the first of them is done; the others are cancelled and waited for."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def beside(*work: Coroutine[object, object, object]) -> AsyncIterator[None]:
    """Work that goes on beside what is done here; at the end it is cancelled and waited for."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
