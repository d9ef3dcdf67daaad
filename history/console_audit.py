"""What people did at the console: rows that are only added, each bound to the one before.

A row's hash is the SHA-256 over its values and the hash of the row before it, so that a row which
was changed, taken out or put in between is found. Rows cut off at the end are found by whoever
wrote down the last hash elsewhere.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from history.console_tables import AUDIT
from history.database import DatabaseClient, connected
from history.records import Record
from history.text import clean

DECLARED: Final = "declared"
"""How somebody is known who only said so at a prompt (``--by``)."""
WRONG_PASSWORD: Final = ("login.refused", "password.refused")
"""What is written down of a wrong password: of who comes in, and of who is there already."""
_OTHER_PIN: Final = ("user.pin", "user.pin.none", "user.pin.dropped")
_LOCK = 0x417564697473  # "Audits"
_AT_ONCE = 5000


class Deed(Record):
    """What somebody does, before it is written down."""

    actor: str
    action: str
    """What, as a word with its subject: ``login``, ``user.add``, ``alert.acknowledge``."""
    object: str = ""
    """To what: a user, an alert, a product."""
    login: str = ""
    """How the actor is known: ``password``, ``token``; ``host`` for a command's user."""
    via: str = "console"
    """``console``, ``cli`` or ``api``."""
    before: str = ""
    """Hash or short value of the object before it; empty where it had none."""
    after: str = ""
    reason: str = ""
    address: str = ""
    agent: str = ""


class WrittenDeed(Deed):
    """A row of the audit."""

    number: int
    at: datetime
    previous_hash: str
    row_hash: str


class AuditFinding(Record):
    """Whether the audit is what was written."""

    rows: int
    last_hash: str
    """Of the last row that is right; write it down elsewhere, and rows cut off are found too."""
    broken_at: int | None = None
    """Number of the first row that is missing or was changed; None where all is well."""

    @property
    def is_whole(self) -> bool:
        """Whether every row is as it was written, and none is missing between them."""
        return self.broken_at is None


def hash_of(deed: Deed, number: int, at: datetime, previous_hash: str) -> str:
    """The hash of a row, over all that it says.

    >>> moment = datetime(2026, 11, 29, tzinfo=UTC)
    >>> hash_of(Deed(actor="ada", action="login"), 1, moment, "")[:12]
    '5f85b528b31c'
    """
    said = {name: getattr(deed, name) for name in Deed.model_fields}
    values = [number, at.astimezone(UTC).isoformat(), said, previous_hash]
    plain = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(plain.encode()).hexdigest()


async def write_deed(link: AsyncConnection, deed: Deed) -> int:
    """Add a row within the transaction of what it tells of: both are there, or neither.

    Writers wait for one another until the end of their transactions.

    Returns:
        The row's number.
    """
    return await link.run_sync(add_deed, deed)


def add_deed(connection: Connection, deed: Deed) -> int:
    """The same for a transaction that is not awaited."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    newest = select(AUDIT.c.number, AUDIT.c.row_hash).order_by(AUDIT.c.number.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    number, previous = (1, "") if last is None else (last.number + 1, last.row_hash)
    cleaned = Deed(**{name: clean(str(value)) for name, value in deed.model_dump().items()})
    at = datetime.now(UTC)
    row = {
        **cleaned.model_dump(include=set(Deed.model_fields)),
        "number": number,
        "at": at,
        "previous_hash": previous,
        "row_hash": hash_of(cleaned, number, at, previous),
    }
    connection.execute(AUDIT.insert().values(row))
    return number


async def has_deed(link: AsyncConnection, action: str, about: str) -> bool:
    """Whether something was done to an object, once those who write a deed just now are done."""
    await link.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    those = select(AUDIT.c.number).where(AUDIT.c.action == action, AUDIT.c.object == about)
    return (await link.execute(those.limit(1))).first() is not None


def first_wrong(rows: Sequence[WrittenDeed], number: int, previous_hash: str) -> int | None:
    """The number at which a run of rows is not what follows a row; None where it is.

    Args:
        rows: in the order of their numbers.
        number: of the row before them; 0 at the beginning.
        previous_hash: that row's.
    """
    for row in rows:
        number += 1
        expected = hash_of(row, number, row.at, previous_hash)
        if (row.number, row.previous_hash, row.row_hash) != (number, previous_hash, expected):
            return number
        previous_hash = row.row_hash
    return None


class ConsoleAudit(DatabaseClient):
    """The rows in PostgreSQL. Every method raises ``UnavailableError`` when it is down."""

    role = "audit"

    async def append(self, deed: Deed) -> int:
        """Write down what was done, by itself; the number of its row."""
        async with connected(self._engine, self._timeout_s, "writing the audit") as link:
            return await write_deed(link, deed)

    async def latest(self, limit: int = 100, before: int | None = None) -> list[WrittenDeed]:
        """The newest rows first, or the newest before a number."""
        query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(AUDIT.c.number < before)
        return await self._rows(query)

    async def of_action(self, action: str, since: datetime) -> list[WrittenDeed]:
        """Every row of an action since a moment, oldest first."""
        chosen = (AUDIT.c.action == action) & (AUDIT.c.at >= since)
        return await self._rows(select(AUDIT).where(chosen).order_by(AUDIT.c.number))

    async def of_actions(self, actions: Sequence[str], since: datetime) -> list[WrittenDeed]:
        """Every row of some actions since a moment, oldest first."""
        chosen = AUDIT.c.action.in_(actions) & (AUDIT.c.at >= since)
        return await self._rows(select(AUDIT).where(chosen).order_by(AUDIT.c.number))

    async def wrong_pins(self, name: str) -> int:
        """Wrong PINs of a person in a row, at every console and before any was started again.

        A right one begins anew, and so does another PIN, or none.
        """
        of_person = AUDIT.c.actor == clean(name)
        is_right = (AUDIT.c.action == "login") & of_person & (AUDIT.c.login == "pin")
        is_other = AUDIT.c.action.in_(_OTHER_PIN) & (AUDIT.c.object == clean(name))
        begun = select(func.max(AUDIT.c.number)).where(is_right | is_other).scalar_subquery()
        is_wrong = (AUDIT.c.action == "login.refused") & of_person & (AUDIT.c.login == "pin")
        since = AUDIT.c.number > func.coalesce(begun, 0)
        query = select(func.count()).select_from(AUDIT).where(is_wrong, since)
        async with connected(self._engine, self._timeout_s, "counting wrong PINs") as link:
            return int(await link.scalar(query) or 0)

    async def wrong_passwords(
        self, name: str, address: str, since: datetime
    ) -> tuple[list[datetime], list[datetime]]:
        """When wrong passwords were tried, at every console and before any was started again.

        Those of the person since a right one, and those from the address whomever they named; a
        row of a clock that is far ahead is none.
        """
        c = AUDIT.c
        is_wrong = c.action.in_(WRONG_PASSWORD) & (c.login == "password")
        is_right = (c.action == "login") & (c.login == "password") & (c.actor == clean(name))
        is_of_them = (c.actor == clean(name)) | ((c.address == address) & (address != ""))
        now = datetime.now(UTC)
        chosen = c.at.between(since, now + (now - since)) & (is_right | (is_wrong & is_of_them))
        rows = await self._rows(select(AUDIT).where(chosen).order_by(c.number))
        right = max((row.number for row in rows if row.action == "login"), default=0)
        wrong = [row for row in rows if row.action in WRONG_PASSWORD]
        of_name = [r.at for r in wrong if r.actor == clean(name) and r.number > right]
        return of_name, [r.at for r in wrong if address and r.address == address]

    async def verify(self) -> AuditFinding:
        """Recompute the hash of every row, in slices."""
        number, last_hash = 0, ""
        while True:
            query = select(AUDIT).where(AUDIT.c.number > number).order_by(AUDIT.c.number)
            rows = await self._rows(query.limit(_AT_ONCE))
            if not rows:
                return AuditFinding(rows=number, last_hash=last_hash)
            if (wrong := first_wrong(rows, number, last_hash)) is not None:
                right = [row.row_hash for row in rows if row.number < wrong]
                last_right = right[-1] if right else last_hash
                return AuditFinding(rows=wrong - 1, last_hash=last_right, broken_at=wrong)
            number, last_hash = rows[-1].number, rows[-1].row_hash

    async def _rows(self, query: Select[tuple[object, ...]]) -> list[WrittenDeed]:
        async with connected(self._engine, self._timeout_s, "reading the audit") as link:
            return [_written(row) for row in (await link.execute(query)).mappings()]


def _written(row: RowMapping) -> WrittenDeed:
    return WrittenDeed.model_validate(dict(row))
