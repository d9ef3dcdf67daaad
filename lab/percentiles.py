"""The percentile by which the laboratory tells latencies."""

import math
from collections.abc import Collection


def percentile(values: Collection[float], share: float) -> float:
    """By nearest rank: the least of ``values`` that this share of them, 0 to 1, is not above.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5), percentile([4.0, 1.0, 3.0, 2.0], 0.99)
    (2.0, 4.0)
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
