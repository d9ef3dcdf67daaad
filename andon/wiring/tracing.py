"""What sends the spans of a process, where traces are wanted."""

import os
import socket
from typing import TYPE_CHECKING

from andon.build import build
from andon.settings import Settings, load_settings

if TYPE_CHECKING:
    from streams.tracing.spans import SpanSink


def spans_of(settings: Settings, process: str, instance: str = "") -> "SpanSink | None":
    """What sends the spans of this process; None where nothing is traced.

    Args:
        settings: of the process.
        process: what it does: ``gateway``, ``inspect``, ``expert`` ...
        instance: its name among those that do the same; its process id without one.
    """
    if not settings.tracing.is_on:
        return None
    from streams.tracing.otlp import OtlpSpans

    host = socket.gethostname()
    resource = {
        "service.namespace": "andon",
        "service.name": f"andon-{process}",
        "service.version": build(),
        "service.instance.id": instance or f"{host}-{os.getpid()}",
        "host.name": host,
        "process.pid": str(os.getpid()),
    }
    return OtlpSpans(settings.tracing, resource, build())


def telemetry_of_replica(process: str) -> "SpanSink | None":
    """The same inside a replica of Ray Serve, by the settings where Ray was started.

    Its log is set up too: by lines of JSON where the settings ask for them, else as Ray does.
    """
    from andon.log import configure_logging

    settings = load_settings()
    if settings.log_json:
        configure_logging(process)
    return spans_of(settings, process)
