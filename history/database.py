"""How the history reaches PostgreSQL: engines with deadlines, errors as the project's own."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from history.database_url import read_database_url
from history.errors import HistoryError, RefusedRowError
from history.failures import postgres_cause
from streams.failures import Cause, TransientError

_CONNECT_S = 10.0
"""Longest wait for a connection, however long a statement may take."""


def make_engine(
    url: str, pool_size: int = 5, timeout_s: float = 10.0, role: str = "history"
) -> AsyncEngine:
    """An engine that waits for nothing longer than ``timeout_s``.

    Args:
        url: of the database, in any form that ``read_database_url`` understands.
        pool_size: most connections held.
        timeout_s: seconds for connecting, for a free connection, and for one statement.
        role: shown in ``pg_stat_activity`` as ``andon-<role>``.

    Raises:
        HistoryError: the URL cannot be read, or a certificate that it names.
    """
    try:
        address = read_database_url(url)
    except ValueError as error:
        raise HistoryError(f"ANDON_POSTGRES__URL {error}") from None
    try:
        tls = address.ssl_argument()
    except (OSError, ValueError) as error:
        raise HistoryError(f"ANDON_POSTGRES__URL names a certificate: {error}") from None
    return create_async_engine(
        make_url(address.url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=_as_json,
        connect_args=({} if tls is None else {"ssl": tls})
        | {
            "timeout": min(timeout_s, _CONNECT_S),
            "command_timeout": timeout_s,
            "server_settings": {
                "application_name": f"andon-{role}",
                "timezone": "UTC",
                "statement_timeout": str(int(timeout_s * 1000)),
            },
        },
    )


_NO_DATABASE: Final = "3D"
"""SQLSTATEs of a database that is not there: no migration makes one."""


@contextlib.contextmanager
def errors_translated(doing: str) -> Iterator[None]:
    """Turns errors that mean "not now" into UnavailableError; ``doing`` says what was tried."""
    try:
        yield
    except (OSError, TimeoutError, PoolTimeoutError) as error:
        said = f"PostgreSQL did not answer while {doing}: {_say(error)}"
        raise TransientError(Cause.AWAY, said) from error
    except (asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        raise _translated(error, error, doing) from error
    except DBAPIError as error:
        cause = getattr(error.orig, "__cause__", None) or error.orig
        if error.connection_invalidated:
            said = f"PostgreSQL went away while {doing}: {_say(cause)}"
            raise TransientError(Cause.AWAY, said) from error
        raise _translated(error, cause, doing) from error


@asynccontextmanager
async def connected(
    engine: AsyncEngine, timeout_s: float, doing: str
) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction, for at most ``timeout_s`` seconds.

    Raises:
        TransientError: the database is down, slow, full, not migrated, or does not know us.
        RefusedRowError: it refused a value, or does not let us write there.
    """
    with errors_translated(doing):
        async with asyncio.timeout(timeout_s), engine.begin() as connection:
            yield connection


def _translated(error: Exception, cause: BaseException | None, doing: str) -> Exception:
    why = postgres_cause(cause or error)
    if why is None:
        return error
    if why.is_permanent:
        said = f"PostgreSQL refused {doing}: {why.value}: {_say(cause)}"
        if why is Cause.NOT_ALLOWED:
            said += "; `andon history grant` gives each role its rights"
        return RefusedRowError(why, said)
    if str(getattr(cause, "sqlstate", "")).startswith(_NO_DATABASE):
        return TransientError(
            why, f"PostgreSQL has no such database ({_say(cause)}): create it, or name another"
        )
    if why is Cause.NOT_PREPARED:
        return TransientError(
            why,
            f"the history's tables are not there or too old ({_say(cause)}): "
            "start `andon worker record`, it migrates the database",
        )
    return TransientError(why, f"PostgreSQL did not answer while {doing}: {_say(cause)}")


def _as_json(value: object) -> str:
    """JSON text as it is; events arrive as JSON already."""
    return value if isinstance(value, str) else json.dumps(value)


def _say(error: object) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0] if error else "no reason given"


class DatabaseClient:
    """What asks PostgreSQL by connections of its own."""

    role: ClassVar[str]
    """Shown in ``pg_stat_activity`` as ``andon-<role>``."""

    def __init__(self, url: str, pool_size: int = 2, timeout_s: float = 10.0) -> None:
        """Nothing is opened yet.

        Args:
            url: SQLAlchemy URL with the asyncpg driver.
            pool_size: most connections held.
            timeout_s: seconds for one call.
        """
        self._engine = make_engine(url, pool_size, timeout_s, role=self.role)
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()
