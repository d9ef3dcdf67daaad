"""How the kernel shares its cores among the line's processes (docs/adr/0003, 0176)."""

import os
from typing import Final

from streams.errors import AndonError

VARIABLE: Final = "ANDON_SCHEDULING"
POLICIES: Final = ("batch", "normal")
WAKEFUL: Final = frozenset({"gateway", "vision-server", "plc"})
"""Commands that speak to a controller: each part wakes them ten times, for microseconds."""


class SchedulingError(AndonError):
    """The policy asked for is not one."""


def adopt_scheduling(command: str | None = None) -> str:
    """Give this process, and all that it starts, a CPU scheduling policy; returns its name.

    ``batch`` (Linux' SCHED_BATCH, no privilege needed): whoever wakes up does not interrupt who
    runs, so that the expert keeps its caches; a wake-up may come some milliseconds later. The
    commands of :data:`WAKEFUL` keep the default policy, also where a batch process starts them.
    ``normal`` leaves everything as it is. Elsewhere than on Linux nothing changes.

    Args:
        command: of ``andon`` that runs here; where ``ANDON_SCHEDULING`` is not set it decides.

    Raises:
        SchedulingError: names the value.
    """
    given = os.environ.get(VARIABLE)
    wanted = given or POLICIES[0]
    if wanted not in POLICIES:
        raise SchedulingError(f"{VARIABLE}={wanted!r}: use one of {', '.join(POLICIES)}")
    if wanted == "normal" or not hasattr(os, "SCHED_BATCH"):
        return "normal"
    if not given and command in WAKEFUL:
        return _change(os.SCHED_BATCH, os.SCHED_OTHER, "normal")
    return _change(os.SCHED_OTHER, os.SCHED_BATCH, wanted)


def _change(before: int, after: int, name: str) -> str:
    """From one policy to another; a third one, which somebody chose, stays."""
    try:
        if os.sched_getscheduler(0) == before:
            os.sched_setscheduler(0, after, os.sched_param(0))
    except OSError:  # a container may forbid it; the line runs all the same
        return "normal"
    return name
