"""Logging of every process: structlog to stderr, one line per event, JSON for machines."""

import logging
import sys
import warnings

import structlog

from andon.settings import load_settings

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


def configure_logging() -> None:
    """Structured events by the settings' level; libraries below WARNING stay silent."""
    settings = load_settings()
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s %(message)s")
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
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
