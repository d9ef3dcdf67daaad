"""How long fetches wait at a broker that must be asked again and again (docs/adr/0232)."""

from collections import deque
from typing import Final

from aiokafka import AIOKafkaConsumer

MOST_MS: Final = 200
"""A fetch's wait is raised to so many milliseconds at most; a longer one stays as it is."""
SHARE: Final = 0.2
"""Of the time that the work takes anyway."""
LATEST: Final = 4
"""The quickest of so many pieces of work counts: one that took long makes nobody else wait."""


class FetchPace:
    """The wait of a client's fetches: the longer, the longer its work takes anyway.

    The embedded broker looks for records at the beginning, the middle and the end of a wait, so
    that a short one is quick and costs many questions. Apache Kafka answers when a record comes;
    its waits are longer than ``MOST_MS`` and stay.

    Args:
        least_ms: the wait where work is quick, milliseconds.

    >>> pace = FetchPace(20)
    >>> pace.took.extend((0.07, 30.0, 0.5, 0.5)); pace.wait_ms
    20
    >>> pace.took.append(0.45); pace.wait_ms
    90
    """

    def __init__(self, least_ms: int) -> None:
        self._least_ms = least_ms
        self.took = deque([0.0] * LATEST, LATEST)
        """How long the latest pieces of work took, seconds: whoever does them appends it."""

    @property
    def wait_ms(self) -> int:
        """How long the next fetch waits, milliseconds."""
        wanted_ms = round(1000 * SHARE * min(self.took))
        return max(self._least_ms, min(MOST_MS, wanted_ms))

    def apply(self, consumer: AIOKafkaConsumer) -> None:
        """The next fetch of a started consumer waits so long."""
        consumer._fetcher._fetch_max_wait_ms = self.wait_ms
