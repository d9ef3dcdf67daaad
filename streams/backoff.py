"""The one back-off of the project: how long to wait before something is tried again."""

import random
from collections.abc import Callable


def backoff_s(
    attempt: int,
    first_s: float,
    longest_s: float,
    jitter: float = 0.0,
    chance: Callable[[], float] = random.random,
) -> float:
    """Capped exponential pause before retry number ``attempt`` (from 0), in seconds.

    Args:
        attempt: how many retries were made before; beyond 32 the pause no longer grows.
        first_s: the first pause, doubled with each attempt.
        longest_s: the cap.
        jitter: share of the pause that is left to chance, 0 (none) to 1 (anything below it), so
            that many clients do not come back at the same moment.
        chance: a number in [0, 1); only a jitter above 0 calls it.

    >>> [backoff_s(attempt, 0.5, 3.0) for attempt in range(5)]
    [0.5, 1.0, 2.0, 3.0, 3.0]
    >>> backoff_s(1, 0.5, 3.0, jitter=0.5, chance=lambda: 0.5)
    0.75
    """
    pause_s = min(longest_s, first_s * 2.0 ** min(attempt, 32))
    return pause_s * (1.0 - jitter * chance()) if jitter else pause_s
