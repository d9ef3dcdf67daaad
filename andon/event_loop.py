"""Which event loop a process runs on (docs/adr/0231)."""

import asyncio
import os
import warnings
from typing import Final

from streams.errors import AndonError

VARIABLE: Final = "ANDON_EVENT_LOOP"
LOOPS: Final = ("uvloop", "asyncio")


class EventLoopError(AndonError):
    """The event loop asked for is not one."""


def adopt_event_loop() -> str:
    """Have every event loop that this process makes from now on be of the kind that
    ``ANDON_EVENT_LOOP`` names; returns its name.

    ``uvloop``, unless another is named, does in C what asyncio's own loop does in Python, for a
    tenth less CPU of a part. Where it is not installed, as on Windows, asyncio's own stays.

    Raises:
        EventLoopError: names the value.
    """
    wanted = os.environ.get(VARIABLE) or LOOPS[0]
    if wanted not in LOOPS:
        raise EventLoopError(f"{VARIABLE}={wanted!r}: use one of {', '.join(LOOPS)}")
    if wanted == "asyncio":
        return wanted
    try:
        import uvloop
    except ImportError:
        return "asyncio"
    with warnings.catch_warnings():  # Faust's thread makes a loop of its own, by this policy
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return wanted
