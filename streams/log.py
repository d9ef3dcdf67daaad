"""What a log is to the line, and how loud libraries may be in it."""

import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

REMIND_S: Final = 30.0
"""How often the log repeats that something is still away, seconds."""


class Log(Protocol):
    """Takes an event's name and its fields, as structlog's methods do."""

    def __call__(self, event: str, **fields: object) -> object: ...


class Told(NamedTuple):
    """What is worth a line in the log about something that is away, or is back."""

    seconds: float
    failures: int
    is_new: bool = True
    """Whether it went away just now, or for another reason; False for a reminder."""


class Outage:
    """Chooses which failures of one thing are worth a line: not how often it was tried.

    The first one is, then one for each other reason, then one now and then; and the end of it. What
    comes and goes for the same reason is told as seldom as what stays away.

    Args:
        clock: monotonic seconds.
        remind_s: how often it is repeated, seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, remind_s: float = REMIND_S
    ) -> None:
        self._clock, self._remind_s = clock, remind_s
        self._since = 0.0
        self._failures = 0
        self._is_told = False
        self._said: dict[str, float] = {}

    def failed(self, why: str) -> Told | None:
        """It failed once more; None where that is not worth a line."""
        now = self._clock()
        if not self._failures:
            self._since = now
        self._failures += 1
        self._said = {w: at for w, at in self._said.items() if now - at < self._remind_s}
        if why in self._said:
            return None
        is_new = not self._is_told or bool(self._said)
        self._said[why], self._is_told = now, True
        return Told(round(now - self._since, 1), self._failures, is_new)

    def ended(self) -> Told | None:
        """It answered; None where it was not away, or nobody was told that it was."""
        told = Told(round(self._clock() - self._since, 1), self._failures)
        was_told, self._is_told, self._failures = self._is_told, False, 0
        return told if was_told else None


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


_REPEAT_THEMSELVES: Final = ("aiokafka", "faust", "mode", "opentelemetry", "urllib3")
_REPEATED_S: Final = 30.0


def quieten() -> None:
    """Quieten every handler of the root logger, for the records of chatty libraries only."""
    once = OncePer(_REPEATED_S)

    def chosen(record: logging.LogRecord) -> bool:
        return not record.name.startswith(_REPEAT_THEMSELVES) or once.filter(record)

    for handler in logging.getLogger().handlers:
        handler.addFilter(chosen)
