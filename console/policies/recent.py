"""The last parts of a product, remembered for seconds: an edit is tried on them at each key."""

import time
from typing import Final

from history.filters import FrameFilter
from history.latest import latest_decisions
from history.queries import History
from history.records import RecordedDecision

PARTS: Final = 24
"""Parts that an edit is explained on."""
_FRESH_S: Final = 5.0
_MOST_PRODUCTS: Final = 20


class RecentParts:
    """Parts on which a classifier or a fallback had a say, newest first."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._known: dict[str, tuple[float, list[RecordedDecision]]] = {}

    async def of(self, product: str) -> list[RecordedDecision]:
        """The last of a product. Raises ``UnavailableError``."""
        at, parts = self._known.get(product, (0.0, []))
        now = time.monotonic()
        if product in self._known and now - at < _FRESH_S:
            return parts
        parts = await latest_decisions(self._history, FrameFilter(product=product), PARTS)
        if len(self._known) >= _MOST_PRODUCTS:
            self._known.clear()
        self._known[product] = (now, parts)
        return parts
