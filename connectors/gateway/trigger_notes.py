"""What the gateway says once about what a controller writes."""

import structlog

from streams.names import normal_form
from streams.ports import Trigger

log = structlog.get_logger(__name__)


class TriggerNotes:
    """Reads each trigger, and says once what is not taken as it stands."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def read(self, trigger: Trigger) -> None:
        """Padded texts, which events have without."""
        for name in {"part_id", "lot_id", "product_id"} - self._said:
            written = str(getattr(trigger, name))
            if (taken := normal_form(written)) != written:
                self._said.add(name)
                log.warning("trigger.padded", text=name, written=repr(written), taken=taken)
