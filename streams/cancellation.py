"""Tells a future that a library cancelled from a task that was asked to end."""

import asyncio


def asked_to_end() -> bool:
    """Whether the running task itself was cancelled (``CancelledError`` must then go on)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
