"""How the kernel shares its cores among the line's processes (docs/adr/0003)."""

import os
from typing import Final

from streams.errors import AndonError

VARIABLE: Final = "ANDON_SCHEDULING"
POLICIES: Final = ("batch", "normal")


class SchedulingError(AndonError):
    """The policy asked for is not one."""


def adopt_scheduling(policy: str | None = None) -> str:
    """Give this process, and all that it starts, a CPU scheduling policy; returns its name.

    ``batch`` (Linux' SCHED_BATCH, no privilege needed): whoever wakes up does not interrupt who
    runs, so that the expert keeps its caches; a wake-up may come some milliseconds later.
    ``normal`` leaves everything as it is. Elsewhere than on Linux nothing changes.

    Args:
        policy: None takes ``ANDON_SCHEDULING``, and ``batch`` where that is not set.

    Raises:
        SchedulingError: names the value.
    """
    wanted = policy or os.environ.get(VARIABLE) or POLICIES[0]
    if wanted not in POLICIES:
        raise SchedulingError(f"{VARIABLE}={wanted!r}: use one of {', '.join(POLICIES)}")
    if wanted == "normal" or not hasattr(os, "SCHED_BATCH"):
        return "normal"
    try:
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:  # a container may forbid it; the line runs all the same
        return "normal"
    return wanted
