"""Who looks after which request to stop: kept in the audit, shown on every live page."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from console.feed.live_feed import LiveFeed
from history.console_audit import ConsoleAudit, Deed
from streams.errors import UnavailableError

log = structlog.get_logger(__name__)
ACTION: Final = "alert.acknowledge"
_BACK: Final = timedelta(days=2)
_EVERY_S: Final = 15.0
"""Seconds until another console's acknowledgement is shown here."""


async def acknowledge(audit: ConsoleAudit, feed: LiveFeed, alert_id: UUID, deed: Deed) -> None:
    """Write down who looks after an alert, and tell every browser; the first one does."""
    if alert_id in feed.acknowledged:
        return
    await audit.append(deed.model_copy(update={"action": ACTION}))
    feed.acknowledged.setdefault(alert_id, deed.actor)
    await feed.nudge()


async def follow_acknowledged(audit: ConsoleAudit, feed: LiveFeed) -> None:
    """Take over what was acknowledged before, and at other consoles; for ever."""
    while True:
        try:
            rows = await audit.of_action(ACTION, datetime.now(UTC) - _BACK)
            known = {UUID(row.object): row.actor for row in reversed(rows)}
            if known.keys() - feed.acknowledged.keys():
                feed.acknowledged.update(known)
                await feed.nudge()
        except (UnavailableError, ValueError) as error:
            log.debug("console.no_acknowledgements", why=str(error))
        await asyncio.sleep(_EVERY_S)
