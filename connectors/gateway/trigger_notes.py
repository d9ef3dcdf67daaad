"""What the gateway says once about what a controller writes."""

import structlog

from streams.names import normal_form
from streams.ports import Trigger

log = structlog.get_logger(__name__)


class TriggerNotes:
    """Reads each trigger, and says once what is not taken as it stands or cannot work.

    Args:
        has_window: whether the settings state the result window, so that ``TaktMs`` is not needed.
    """

    def __init__(self, has_window: bool) -> None:
        self._said: set[str] = {"takt_ms"} if has_window else set()

    def read(self, trigger: Trigger) -> None:
        """Padded texts, which events have without; a takt of 0, in which nothing is decided."""
        if not trigger.takt_ms and "takt_ms" not in self._said:
            self._said.add("takt_ms")
            log.error("trigger.no_window", remedy="write TaktMs, or set gateway.result_window_ms")
        for name in {"part_id", "lot_id", "product_id"} - self._said:
            written = str(getattr(trigger, name))
            if (taken := normal_form(written)) != written:
                self._said.add(name)
                log.warning("trigger.padded", text=name, written=repr(written), taken=taken)
