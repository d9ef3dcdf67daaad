"""The documents that the code writes: settings, codes, signals, metrics, commands, topics.

``python -m andon.reference`` writes them below ``docs``; ``tests/test_documents.py`` compares them.
"""

from collections.abc import Callable
from typing import Final

from andon.reference import codes, commands, metrics, settings, signals
from streams import asyncapi

WRITERS: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings.reference,
    "codes.md": codes.reference,
    "signals.md": signals.reference,
    "metrics.md": metrics.reference,
    "commands.md": commands.reference,
    "asyncapi.yaml": lambda: asyncapi.to_yaml(asyncapi.document()),
}
"""What writes each document, by its name below ``docs``."""
