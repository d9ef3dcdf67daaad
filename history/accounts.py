"""Who may log in at the console, and who is logged in; what changes there is written down with it.

Secrets are only ever seen as hashes here.
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from history.console_audit import Deed, write_deed
from history.console_tables import SESSIONS, USERS
from history.database import DatabaseClient, connected
from history.errors import HistoryError, NotInHistoryError
from history.records import Record
from history.text import clean


class DoubledAccountError(HistoryError):
    """A person of that name is there already."""


class ConsoleUser(Record):
    """A person who may log in."""

    name: str
    role: str
    must_change: bool = False
    is_disabled: bool = False
    has_pin: bool = False
    """Whether a PIN opens a session on a shared terminal."""
    created_at: datetime | None = None


class Login(Record):
    """What a secret opens at this moment."""

    secret_hash: str
    user_name: str
    label: str = ""
    """Empty for a person's session."""
    role: str
    """The token's own, or the person's of this moment."""
    person_role: str = ""
    """The person's of this moment, which bounds what a token and a PIN open."""
    way: str = "password"
    """How: ``password``, ``oidc`` or ``pin``; a secret with a label is a ``token`` of a program, of
    a ``wall`` or of a ``terminal``."""
    terminal: str = ""
    """Hash of the shared terminal's secret, without which a session opens nothing."""
    must_change: bool = False
    expires_at: datetime

    @property
    def actor(self) -> str:
        """As audits and reviews name who is there: a token with the person who answers for it."""
        return f"{self.user_name}{_LABELLED}{self.label})" if self.label else self.user_name


_LABELLED: Final = " (token "


def person_of(actor: str) -> str:
    """The person who acts, by whatever token.

    >>> person_of("ada (token gauge)"), person_of("ada")
    ('ada', 'ada')
    """
    return actor.partition(_LABELLED)[0]


def person_in(actor: ColumnElement[str]) -> ColumnElement[str]:
    """The same of a column."""
    return func.split_part(actor, _LABELLED, 1)


_LOGIN = (
    SESSIONS.c.secret_hash,
    SESSIONS.c.user_name,
    SESSIONS.c.label,
    SESSIONS.c.way,
    SESSIONS.c.terminal,
    func.coalesce(func.nullif(SESSIONS.c.role, ""), USERS.c.role).label("role"),
    USERS.c.role.label("person_role"),
    USERS.c.must_change,
    SESSIONS.c.expires_at,
)


class Accounts(DatabaseClient):
    """People, their passwords' hashes and their sessions, in PostgreSQL.

    Every method raises ``UnavailableError`` when the database is down.

    Args:
        url: SQLAlchemy URL with the asyncpg driver.
        timeout_s: seconds for one call; every page waits for one.
    """

    role = "accounts"

    def __init__(self, url: str, timeout_s: float = 3.0) -> None:
        super().__init__(url, 3, timeout_s)

    async def everybody(self) -> list[ConsoleUser]:
        """All people, by name."""
        query = select(USERS).order_by(USERS.c.name)
        async with connected(self._engine, self._timeout_s, "reading the users") as link:
            return [_user(row) for row in (await link.execute(query)).mappings()]

    async def find(self, name: str) -> tuple[ConsoleUser, str] | None:
        """A person and the hash of the password."""
        query = select(USERS).where(USERS.c.name == clean(name))
        async with connected(self._engine, self._timeout_s, "reading a user") as link:
            row = (await link.execute(query)).mappings().one_or_none()
        return None if row is None else (_user(row), str(row["password"]))

    async def pin_of(self, name: str) -> str:
        """The hash of a person's PIN; empty without one, and for nobody."""
        query = select(USERS.c.pin).where(USERS.c.name == clean(name))
        async with connected(self._engine, self._timeout_s, "reading a user") as link:
            return str(await link.scalar(query) or "")

    async def add(self, account: ConsoleUser, password_hash: str, deed: Deed) -> None:
        """Let a person in.

        Raises:
            DoubledAccountError: there is one of that name.
        """
        values = _values(account, password_hash)
        query = insert(USERS).values(values).on_conflict_do_nothing().returning(USERS.c.name)
        async with connected(self._engine, self._timeout_s, "adding a user") as link:
            if await link.scalar(query) is None:
                raise DoubledAccountError(f"there is a user {account.name!r} already")
            await write_deed(link, deed)

    async def add_first(self, account: ConsoleUser, password_hash: str, deed: Deed) -> bool:
        """Let the first person in; False, and nothing done, where there is anybody."""
        async with connected(self._engine, self._timeout_s, "looking for users") as link:
            await write_deed(link, deed)  # takes the audit's lock: of two consoles one is first
            if await link.scalar(select(func.count()).select_from(USERS)):
                await link.rollback()
                return False
            values = _values(account, password_hash)
            await link.execute(USERS.insert().values(values))
            return True

    async def set_password(
        self, name: str, password_hash: str, deed: Deed, must_change: bool = False
    ) -> None:
        """Another password; everybody who is logged in under the old one is logged out."""
        await self._change(name, deed, password=password_hash, must_change=must_change)

    async def set_pin(self, name: str, pin_hash: str, deed: Deed) -> None:
        """Another PIN, or none where it is empty."""
        await self._change(name, deed, log_out=False, pin=pin_hash)

    async def set_role(self, name: str, role: str, deed: Deed) -> None:
        """Another role, which counts at the person's next request."""
        await self._change(name, deed, log_out=False, role=role)

    async def set_disabled(self, name: str, is_disabled: bool, deed: Deed) -> None:
        """Shut a person out, or let them in again."""
        await self._change(name, deed, is_disabled=is_disabled)

    async def _change(self, name: str, deed: Deed, log_out: bool = True, **values: object) -> None:
        query = update(USERS).where(USERS.c.name == clean(name)).values(values)
        async with connected(self._engine, self._timeout_s, "changing a user") as link:
            if not (await link.execute(query)).rowcount:
                raise NotInHistoryError(f"there is no user {name!r}")
            if log_out:
                await _end(link, (SESSIONS.c.user_name == clean(name)) & (SESSIONS.c.label == ""))
            await write_deed(link, deed)

    async def open(self, login: Login, deed: Deed) -> None:
        """Keep a session, or a token where it has a label."""
        values = login.model_dump(exclude={"must_change", "person_role"})
        if not login.label and login.way != "pin":
            values["role"] = ""  # the person's, as it will be
        async with connected(self._engine, self._timeout_s, "opening a session") as link:
            await link.execute(SESSIONS.insert().values(values))
            await write_deed(link, deed)

    async def login(self, secret_hash: str) -> Login | None:
        """What a secret opens now; None where it opens nothing any more."""
        other = SESSIONS.alias().c
        is_open = _is_open(other.ended_at, other.expires_at)
        terminal = select(other.label).where(other.secret_hash == SESSIONS.c.terminal, is_open)
        query = (
            select(*_LOGIN)
            .join(USERS, USERS.c.name == SESSIONS.c.user_name)
            .where(
                SESSIONS.c.secret_hash == secret_hash,
                _is_open(),
                ~USERS.c.is_disabled,
                (SESSIONS.c.terminal == "") | terminal.exists(),
            )
        )
        async with connected(self._engine, self._timeout_s, "reading a session") as link:
            row = (await link.execute(query)).mappings().one_or_none()
        return None if row is None else Login.model_validate(dict(row))

    async def tokens(self) -> list[Login]:
        """The tokens that are open, by label."""
        query = (
            select(*_LOGIN)
            .join(USERS, USERS.c.name == SESSIONS.c.user_name)
            .where(SESSIONS.c.label != "", _is_open())
            .order_by(SESSIONS.c.label)
        )
        async with connected(self._engine, self._timeout_s, "reading the tokens") as link:
            return [
                Login.model_validate(dict(row)) for row in (await link.execute(query)).mappings()
            ]

    async def end(self, secret_hash: str, deed: Deed) -> None:
        """Let a secret open nothing any more, from the next request on."""
        async with connected(self._engine, self._timeout_s, "ending a session") as link:
            await _end(link, SESSIONS.c.secret_hash == secret_hash)
            await write_deed(link, deed)


def _is_open(
    ended_at: ColumnElement[datetime] = SESSIONS.c.ended_at,
    expires_at: ColumnElement[datetime] = SESSIONS.c.expires_at,
) -> ColumnElement[bool]:
    return ended_at.is_(None) & (expires_at > datetime.now(UTC))


def _user(row: RowMapping) -> ConsoleUser:
    return ConsoleUser.model_validate({**row, "has_pin": bool(row["pin"])})


def _values(account: ConsoleUser, password_hash: str) -> dict[str, object]:
    kept = account.model_dump(exclude={"created_at", "has_pin"})
    return {**kept, "password": password_hash, "pin": ""}


async def _end(link: AsyncConnection, meant: ColumnElement[bool]) -> None:
    ended = meant & SESSIONS.c.ended_at.is_(None)
    await link.execute(update(SESSIONS).where(ended).values(ended_at=datetime.now(UTC)))
