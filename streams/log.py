"""What a log is to the line, and how loud libraries may be in it."""

import logging
import time
from collections.abc import Callable
from typing import Protocol


class Log(Protocol):
    """Takes an event's name and its fields, as structlog's methods do."""

    def __call__(self, event: str, **fields: object) -> object: ...


class OncePer(logging.Filter):
    """Lets a logger's message template through once per ``seconds``.

    A library that repeats itself ten times a second must not fill the disk.
    """

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
    """Quieten every handler of the root logger, for aiokafka's, Faust's and mode's records only."""
    once = OncePer(seconds)

    def chosen(record: logging.LogRecord) -> bool:
        return not record.name.startswith(("aiokafka", "faust", "mode")) or once.filter(record)

    for handler in logging.getLogger().handlers:
        handler.addFilter(chosen)
