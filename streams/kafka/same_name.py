"""Notices that another worker of a group goes by the name of this one.

The broker takes two static members of one name for the same worker: whoever joins ends the other
one's session, which joins again. Both seem to work; every message is read several times, and late.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

SESSIONS: Final = 4
"""So many ended sessions within ``WITHIN_S`` are no outage, after which a worker joins once."""
WITHIN_S: Final = 60.0
COORDINATOR: Final = logging.getLogger("aiokafka.consumer.group_coordinator")
_ENDED: Final = "Heartbeat failed: local member_id was not recognized"


class SameName(logging.Filter):
    """Counts, by what the client logs, how often the broker ended our session; lets all pass."""

    def __init__(self, member: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._member, self._clock = member, clock
        self._ended: deque[float] = deque(maxlen=SESSIONS)

    def filter(self, record: logging.LogRecord) -> bool:
        """Say it each time that so many sessions were ended in so short a time."""
        if str(record.msg).startswith(_ENDED):
            self._ended.append(self._clock())
            if len(self._ended) == SESSIONS and self._ended[-1] - self._ended[0] < WITHIN_S:
                self._ended.clear()
                structlog.get_logger(__name__).error(
                    "another worker seems to have this one's name",
                    member=self._member,
                    what_to_do="give each its own ANDON_WORKER__INSTANCE, or set none, "
                    "and each host a state folder of its own; "
                    "until then messages are read several times, and late",
                )
        return True
