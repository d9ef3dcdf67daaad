"""Opens sessions: whoever is known now gets a cookie, and the audit a row."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from console.access import ConsoleRole
from console.credentials import new_secret, secret_hash
from console.identity import COOKIE, deed_of
from console.parts import ConsoleParts
from history.accounts import Accounts, ConsoleUser, Login
from streams.errors import UnavailableError

SESSION: Final = timedelta(hours=12)
"""A shift and what goes before and after it."""
PIN_SESSION: Final = timedelta(minutes=15)
"""Of whoever came in with a PIN: long enough for what brought them to the terminal."""
_AT_MOST: Final = dict.fromkeys((ConsoleRole.ENGINEER, ConsoleRole.ADMIN), ConsoleRole.OPERATOR)
"""What a PIN opens of the roles that may change rules and people."""


def pin_role(role: str) -> ConsoleRole:
    """The role of a session that a PIN opened.

    >>> pin_role("admin"), pin_role("quality")
    (<ConsoleRole.OPERATOR: 'operator'>, <ConsoleRole.QUALITY: 'quality'>)
    """
    own = ConsoleRole(role)
    return _AT_MOST.get(own, own)


async def people_with_pins(accounts: Accounts) -> list[str]:
    """Who may come in with a PIN on a shared terminal, by name; nobody without the database."""
    try:
        everybody = await accounts.everybody()
    except UnavailableError:
        return []
    return [one.name for one in everybody if one.has_pin and not one.is_disabled]


async def open_session(
    request: Request,
    parts: ConsoleParts,
    account: ConsoleUser,
    there: str,
    way: str = "password",
    terminal: str = "",
) -> Response:
    """To a page, with the cookie of a new session.

    Args:
        way: how the person is known: ``password``, ``oidc`` or ``pin``.
        terminal: hash of the shared terminal's secret, for a PIN.
    """
    secret, is_pin = new_secret(), way == "pin"
    lasts = PIN_SESSION if is_pin else SESSION
    login = Login(
        secret_hash=secret_hash(secret),
        user_name=account.name,
        role=pin_role(account.role) if is_pin else account.role,
        way=way,
        terminal=terminal,
        expires_at=datetime.now(UTC) + lasts,
    )
    await parts.accounts.open(login, deed_of(request, account.name, "login", login=way))
    answer = RedirectResponse(there, 303)
    set_secret(request, answer, COOKIE, secret, lasts)
    return answer


def set_secret(
    request: Request, answer: Response, name: str, secret: str, lasts: timedelta
) -> None:
    """Give a browser a cookie that no script reads and no other site sends."""
    answer.set_cookie(
        name,
        secret,
        int(lasts.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
