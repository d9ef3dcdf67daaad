"""The first start: where nobody may log in yet, an administrator is made."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from console.access import ConsoleRole
from console.credentials import new_password, password_hash
from history.accounts import Accounts, ConsoleUser
from history.console_audit import Deed
from streams.backoff import backoff_s
from streams.errors import UnavailableError

log = structlog.get_logger(__name__)
FIRST: Final = "admin"
"""The first person's name."""
Announce = Callable[[str, str], None]
"""Told a name and the password that opens once."""


async def let_first_in(accounts: Accounts, announce: Announce) -> None:
    """Make the administrator where there is nobody, as soon as the database answers."""
    attempt = 0
    while True:
        try:
            if await accounts.everybody():
                return
            password = new_password()
            kept = await password_hash(password)
            account = ConsoleUser(name=FIRST, role=ConsoleRole.ADMIN, must_change=True)
            deed = Deed(
                actor="andon console", action="user.add", object=FIRST, reason="first start"
            )
            if await accounts.add_first(account, kept, deed):
                announce(FIRST, password)
            return
        except UnavailableError as error:
            if attempt == 0:
                log.warning("console.waits_for_database", why=str(error))
            await asyncio.sleep(backoff_s(attempt, 0.5, 5.0, jitter=0.5))
            attempt += 1
