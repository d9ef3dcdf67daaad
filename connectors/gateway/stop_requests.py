"""Alerts that ask the line to stop, each heard once."""

from collections.abc import Callable

import structlog

from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import AlertLine
from streams.events import Alert

log = structlog.get_logger(__name__)


class StopRequests:
    """Turns an alert into ``StopRequest``, once.

    After a restart the alerts of the last minute are read again, and what they asked for may have
    been reset. Whether it stands the controller says.

    Args:
        journal: remembers until when alerts were heard.
        heard_until: what it remembers, seconds since the epoch.
        ask: sets ``StopRequest``.
        is_online: whether the controller is told at once; an alert that it was not told of is not
            taken for heard.
    """

    def __init__(
        self,
        journal: Journal,
        heard_until: float,
        ask: Callable[[], None],
        is_online: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._heard_until = heard_until
        self._ask = ask
        self._is_online = is_online

    def hear(self, alert: Alert) -> None:
        """Ask to stop, unless it was asked for because of this alert before the restart."""
        raised_at = alert.raised_at.timestamp()
        if raised_at <= self._heard_until:
            return
        log.warning("line.stop_request", limit=alert.limit, why=alert.reason)
        self._ask()
        if self._is_online():
            self._journal.append(AlertLine(t="alert", at=raised_at))
