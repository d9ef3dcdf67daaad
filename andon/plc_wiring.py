"""Looks at a line controller before a line depends on it: as ``wiring``, for commands alone."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from andon.settings import Settings
    from connectors.opcua.browsing import Browsed
    from connectors.opcua.check import Checked


async def check_controller(
    settings: "Settings", writes: bool, say: Callable[[str], None]
) -> "Checked":
    """Prove the controller's signals one by one, by writing them back where ``writes``."""
    from connectors.opcua.check import check

    return await check(settings.gateway, writes, say)


async def browse_controller(
    settings: "Settings", limit: int, say: Callable[[int], None]
) -> "Browsed":
    """Candidates for each signal among the controller's nodes."""
    from connectors.opcua.browsing import browse

    return await browse(settings.gateway, limit, say)
