"""Logging of every process: structlog to stderr, one line per event, JSON for machines."""

import logging
import sys
import warnings
from collections.abc import MutableMapping

import structlog

from andon.settings import load_settings
from streams.masking import masked

_CHATTY = (
    "aiokafka",
    "asyncua",
    "faust",
    "mode",
    "urllib3",
    "httpx",
    "openai",
    "streams.kafka.faust_adapter",
)


class _Masking(logging.Formatter):
    """Formats a library's record; passwords, keys and tokens in it are masked."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def mask_event(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """A processor of structlog that masks every text of an event."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = masked(value)
    return event


def configure_logging() -> None:
    """Structured events by the settings' level; libraries below WARNING stay silent.

    Nothing secret is written, whoever logs it: one rule masks both (``streams.masking``).
    """
    settings = load_settings()
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(stream=sys.stderr, level=level)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Masking("%(levelname)s %(name)s %(message)s"))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
