"""Keeps a library that repeats itself ten times a second from filling the disk."""

import logging
import time
from collections.abc import Callable


class OncePer(logging.Filter):
    """Lets a logger's message template through once per ``seconds``."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._said: dict[tuple[str, int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this record is printed."""
        key = (record.name, record.levelno, str(record.msg))
        now = self._clock()
        if now - self._said.get(key, float("-inf")) < self._seconds:
            return False
        self._said[key] = now
        return True


def quieten(seconds: float = 30.0) -> None:
    """On every handler of the root logger, for aiokafka's, Faust's and mode's records only."""
    once = OncePer(seconds)

    def chosen(record: logging.LogRecord) -> bool:
        return not record.name.startswith(("aiokafka", "faust", "mode")) or once.filter(record)

    for handler in logging.getLogger().handlers:
        handler.addFilter(chosen)
