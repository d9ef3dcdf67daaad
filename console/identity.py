"""Who asks: the secret of a cookie or a token, looked up at every request."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from fastapi import Request

from console.access import ACCESS, PUBLIC, WALL, ConsoleRole, common_role
from console.credentials import secret_hash
from history.accounts import Login
from history.console_audit import Deed
from streams.errors import AndonError, UnavailableError

COOKIE: Final = "andon_session"
TERMINAL_COOKIE: Final = "andon_terminal"
"""Which shared terminal a browser is; it opens nothing by itself."""
_BEARER: Final = "bearer "
_CHANGE: Final = ("/password", "/logout")
_REMEMBERED: Final = 2000
_DOWN_S: Final = 2.0
"""After a question that the database did not answer it is not asked for so long: a page waits for
one time-out, not for one at each of its pictures."""


class LoginNeededError(AndonError):
    """Nobody is logged in."""


class ForbiddenError(AndonError):
    """Who is logged in may not do that."""


class PasswordExpiredError(AndonError):
    """Nothing is open before the password is changed."""


@dataclass(frozen=True)
class Who:
    """The person or program that asks."""

    name: str
    """As the audits name it; a token's begins with the person's name."""
    role: ConsoleRole
    secret_hash: str
    way: str = "password"
    """``password``, ``oidc``, ``pin``, ``token`` or ``wall``, see ``history.accounts.Login``."""
    must_change: bool = False
    user: str = ""
    """The login of the person; of a token, whose it is."""

    @property
    def is_token(self) -> bool:
        """Whether it is a program, or a screen on the wall, and no person."""
        return self.way in ("token", "wall")

    def deed(self, request: Request, action: str, object: str = "", **said: str) -> Deed:
        """What they do, for the audit."""
        return deed_of(
            request,
            self.name,
            action,
            object,
            login=self.way,
            via="api" if self.way == "token" else "console",
            **said,
        )


class Logins(Protocol):
    """Where secrets are looked up: ``history.accounts.Accounts``."""

    async def login(self, secret_hash: str) -> Login | None: ...


class Gatekeeper:
    """Tells who asks, also while the database is away: whoever it let in before, it knows then."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._known: OrderedDict[str, Login] = OrderedDict()
        self._down_until = 0.0

    async def who(self, secret: str | None, terminal: str | None = None) -> Who | None:
        """Whose secret it is; None for none, and for one that opens nothing any more.

        Args:
            terminal: the secret of the shared terminal that asks; a session that was opened on one
                opens nothing anywhere else.

        Raises:
            UnavailableError: the database is away, and the secret was not seen before.
        """
        if not secret:
            return None
        key = secret_hash(secret)
        login = await self._look_up(key)
        if login is None or login.expires_at <= datetime.now(UTC) or login.way == "terminal":
            return None
        if login.terminal and (not terminal or secret_hash(terminal) != login.terminal):
            return None
        role = ConsoleRole(login.role)
        if login.person_role:
            role = common_role(role, ConsoleRole(login.person_role))
        must_change = login.must_change and not login.label
        return Who(login.actor, role, key, login.way, must_change, login.user_name)

    async def terminal(self, secret: str | None) -> Login | None:
        """The shared terminal whose secret it is; None for anything else.

        Raises:
            UnavailableError: the database is away, and the secret was not seen before.
        """
        login = await self._look_up(secret_hash(secret)) if secret else None
        is_open = login is not None and login.expires_at > datetime.now(UTC)
        return login if login is not None and is_open and login.way == "terminal" else None

    async def _look_up(self, key: str) -> Login | None:
        if time.monotonic() < self._down_until and key in self._known:
            return self._known[key]
        try:
            found = await self._logins.login(key)
        except UnavailableError:
            self._down_until = time.monotonic() + _DOWN_S
            if key not in self._known:
                raise
            return self._known[key]
        self._known.pop(key, None)
        if found is not None:
            self._known[key] = found
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found


def secret_of(request: Request) -> str | None:
    """The secret that a request shows: of its token, else of its cookie."""
    given = request.headers.get("authorization", "")
    if given.lower().startswith(_BEARER):
        return given[len(_BEARER) :].strip()
    return request.cookies.get(COOKIE)


def who_of(request: Request) -> Who:
    """Who asks, once ``check_access`` has let them through."""
    who: Who = request.state.who
    return who


def deed_of(request: Request, actor: str, action: str, object: str = "", **said: str) -> Deed:
    """Something done through a request, for the audit."""
    address = request.client.host if request.client else ""
    agent = request.headers.get("user-agent", "")[:200]
    return Deed(actor=actor, action=action, object=object, address=address, agent=agent, **said)


async def asking(request: Request) -> Who | None:
    """Who asks, by the secrets that a request shows."""
    keeper: Gatekeeper = request.app.state.gatekeeper
    return await keeper.who(secret_of(request), request.cookies.get(TERMINAL_COOKIE))


async def check_access(request: Request) -> None:
    """Lets through who may call the route; every route of the application depends on it.

    Raises:
        LoginNeededError: nobody is logged in.
        PasswordExpiredError: the password must be changed first.
        ForbiddenError: the role may not, or the route is not in the table.
    """
    path = request.scope["route"].path
    allowed = ACCESS.get((request.method, path))
    if allowed is None:
        raise ForbiddenError(f"{request.method} {path} is in no table of rights")
    if allowed is PUBLIC:
        return
    who = await asking(request)
    if who is None:
        raise LoginNeededError("log in first, or send a token: `Authorization: Bearer TOKEN`")
    if who.role not in allowed or (who.way == "wall" and (request.method, path) not in WALL):
        raise ForbiddenError(f"{who.name} is {who.role.value}, and may not do that")
    if who.must_change and path not in _CHANGE:
        raise PasswordExpiredError("change the password first")
    request.state.who = who
