"""Logging of every process: structlog to stderr, one line per event, JSON for machines."""

import logging
import sys
import warnings
from collections.abc import MutableMapping

import structlog

from andon.settings import load_settings
from history.text import visible
from streams.masking import masked_value

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
    for name, value in event.items():
        if isinstance(value, str) and name != "exception":
            event[name] = visible(value)
    return event


def configure_logging() -> None:
    """Structured events by the settings' level; libraries below WARNING stay silent.

    A library's record is written as an event of ours is: one line with its time, JSON where the
    settings ask for it. Nothing secret is written, whoever logs it: one rule masks both
    (``streams.masking``).
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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
