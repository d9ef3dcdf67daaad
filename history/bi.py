"""The schema ``bi``: views and comments for people's tools, and a role that may only read them."""

import re
import tomllib
from importlib.resources import files

from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from history.database import connected, make_engine
from history.errors import HistoryError
from history.plant_times import PlantTimes

READER = "andon_reader"
"""The role that may read the schema and nothing else; people's roles are granted it."""
_LOCK = 0x416E646F70
_WORK_S = 60.0
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PARTS = """
SELECT n.nspname || '.' || c.relname AS relation, c.relkind::text AS kind,
    array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname IN ('bi', 'public') AND c.relkind IN ('r', 'v', 'p')
    AND NOT c.relispartition GROUP BY 1, 2 ORDER BY 1
"""


class Comments(BaseModel):
    """``sql/comments.toml``: what is said of relations, and of columns wherever they stand."""

    schema_: str
    relations: dict[str, str]
    columns: dict[str, str]
    columns_of: dict[str, dict[str, str]]


async def apply_bi(url: str, times: PlantTimes, reader: str = READER) -> None:
    """Create or renew the schema's views, comments and reading role; may be applied again.

    Args:
        url: SQLAlchemy URL with the asyncpg driver; its role owns the history's tables.
        times: the plant's time zone and shifts.
        reader: a role without login that gets the right to read; it is created when absent.

    Raises:
        HistoryError: ``reader`` is no plain name.
        UnavailableError: the database does not answer, is not migrated, or refuses the rights.
    """
    if not _NAME.fullmatch(reader):
        raise HistoryError(f"{reader!r} is no name of a role: use a-z, 0-9 and _")
    engine = make_engine(url, pool_size=1, timeout_s=_WORK_S, role="bi")
    try:
        async with connected(engine, _WORK_S, "renewing the schema bi") as link:
            await link.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            for statement in _shipped("bi.sql").split(";\n\n"):
                await link.exec_driver_sql(statement)
            await _set_times(link, times)
            await _comment(link)
            await _grant(link, reader)
    finally:
        await engine.dispose()


async def _set_times(link: AsyncConnection, times: PlantTimes) -> None:
    zone = text(
        "INSERT INTO bi.plant VALUES (1, :zone) "
        "ON CONFLICT (id) DO UPDATE SET time_zone = excluded.time_zone"
    )
    await link.execute(zone, {"zone": times.time_zone})
    await link.execute(text("DELETE FROM bi.shift"))
    for name, shift in times.shifts.items():
        await link.execute(
            text("INSERT INTO bi.shift VALUES (:name, :start, :end)"),
            {"name": name, "start": shift.start, "end": shift.end},
        )


async def _comment(link: AsyncConnection) -> None:
    """Comment on what is there and is described: another's tables stay as they are."""
    said = _comments()
    await link.exec_driver_sql(f"COMMENT ON SCHEMA bi IS {_quoted(said.schema_)}")
    for relation, kind, columns in (await link.execute(text(_PARTS))).all():
        if relation not in said.relations:
            continue
        what = "VIEW" if kind == "v" else "TABLE"
        words = _quoted(said.relations[relation])
        await link.exec_driver_sql(f"COMMENT ON {what} {relation} IS {words}")
        known = said.columns | said.columns_of.get(relation, {})
        for column in columns:
            if column in known:
                place = f'{relation}."{column}"'
                await link.exec_driver_sql(f"COMMENT ON COLUMN {place} IS {_quoted(known[column])}")


async def _grant(link: AsyncConnection, reader: str) -> None:
    exists = await link.scalar(
        text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :name)"), {"name": reader}
    )
    if not exists:
        await link.exec_driver_sql(
            f"DO $$ BEGIN CREATE ROLE {reader} NOLOGIN; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    await link.exec_driver_sql(f"GRANT USAGE ON SCHEMA bi TO {reader}")
    await link.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA bi TO {reader}")


def _comments() -> Comments:
    found = tomllib.loads(_shipped("comments.toml"))
    return Comments.model_validate({**found, "schema_": found["schema"]})


def _shipped(name: str) -> str:
    return (files("history") / "sql" / name).read_text("utf-8")


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"
