"""Logging of every process: structlog to stderr, one line per event, JSON for machines."""

import logging
import sys
import warnings
from collections.abc import MutableMapping
from typing import Final

import structlog

from andon.settings import load_settings
from history.text import visible
from streams.masking import masked_value
from streams.tracing.spans import CURRENT, PART

_CHATTY = (
    "aiokafka",
    "asyncua",
    "faust",
    "mode",
    "urllib3",
    "httpx",
    "openai",
    "alembic.runtime.plugins",
    "streams.kafka.faust_adapter",
)
_OURS: Final = "andon"
"""What an event is said to come from where its logger has no name."""


class NamedLogger(structlog.PrintLogger):
    """Prints to stderr, and knows what it is called, as a logger of the standard library does."""

    def __init__(self, name: str = _OURS) -> None:
        super().__init__(sys.stderr)
        self.name = name


def named_logger(*names: object) -> NamedLogger:
    """What structlog makes of ``get_logger(name)``."""
    return NamedLogger(str(names[0]) if names else _OURS)


def mask_event(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """A processor of structlog that masks what is secret in an event, however deep it stands."""
    for name, value in event.items():
        event[name] = masked_value(name, value)
    return event


def show_event(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """A processor of structlog that keeps an event for people on its one line.

    A serial may hold a line break or an escape sequence; JSON escapes it, a line shows it so.
    """
    event.pop("trace_id", None)  # for machines
    for name, value in event.items():
        if isinstance(value, str) and name != "exception":
            event[name] = visible(value)
    return event


def say_the_part(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """A processor of structlog that adds the part which the task works on, and its trace."""
    if (part := PART.get()) is not None:
        event.setdefault("line", part.line)
        event.setdefault("station", part.station)
        event.setdefault("part_id", part.part_id)
        event.setdefault("trace_id", part.part_identity.hex)
    elif (work := CURRENT.get()) is not None:
        event.setdefault("trace_id", f"{work.context.trace_id:032x}")
    return event


def say_who(**said: str) -> structlog.typing.Processor:
    """A processor of structlog that adds what all events of the process have in common."""
    known = {name: value for name, value in said.items() if value}

    def say(
        _logger: object, _method: str, event: MutableMapping[str, object]
    ) -> MutableMapping[str, object]:
        for name, value in known.items():
            event.setdefault(name, value)
        return event

    return say


def configure_logging(role: str = "", line: str = "", station: str = "") -> None:
    """Structured events by the settings' level; libraries below WARNING stay silent.

    A library's record is written as an event of ours is: one line with its time, JSON where the
    settings ask for it. Nothing secret is written, whoever logs it: one rule masks both
    (``streams.masking``).

    Args:
        role: what the process does; with ``line`` and ``station`` in each line of JSON.
        line: whose gateway it is; where the process serves several, the part says it.
        station: likewise.
    """
    settings = load_settings()
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    stamp: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        mask_event,
    ]
    if settings.log_json:
        stamp += [
            structlog.stdlib.add_logger_name,
            say_the_part,
            say_who(role=role, line=line, station=station),
        ]
        last.append(structlog.processors.JSONRenderer())
    else:
        last += [show_event, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    logging.basicConfig(stream=sys.stderr, level=level)
    of_libraries = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *stamp],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    for handler in logging.getLogger().handlers:
        handler.setFormatter(of_libraries)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *stamp, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=named_logger,
        cache_logger_on_first_use=True,
    )
