"""Each role of the database can do what it must, and is refused all else: table by table."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history import rights
from history.bi import apply_bi
from history.console_audit import Deed
from history.database import connected, make_engine
from history.errors import RefusedRowError
from history.filters import FrameFilter
from history.migrate import current, grant, head, upgrade
from history.model_log import ModelLog
from history.plant_times import PlantTimes
from history.policy_log import PolicyLog
from history.queries import History
from history.rights import INSERT_ONLY, TABLES, DatabaseRole, Verb, may
from history.writer import PostgresHistoryWriter
from streams.errors import UnavailableError
from streams.principals import Role
from tests.history.make import decision

SQL = Path(rights.__file__).parent / "sql" / "roles.sql"
REFUSED = re.compile("InsufficientPrivilege|UndefinedTable")
"""Who may not use a schema does not see what is in it."""
STATEMENTS = {
    Verb.SELECT: "SELECT count(*) FROM {table}",
    Verb.INSERT: "INSERT INTO {table} ({column}) SELECT NULL WHERE false",
    Verb.UPDATE: "UPDATE {table} SET {column} = {column}",
    Verb.DELETE: "DELETE FROM {table}",
    Verb.TRUNCATE: "TRUNCATE {table} CASCADE",
}


def login(role: DatabaseRole) -> str:
    return f"test_{role.removeprefix('andon_')}"


@pytest_asyncio.fixture
async def granted(url: str) -> AsyncIterator[str]:
    """A database with roles, and a login in each of them."""
    await grant(url)
    await grant(url)
    await apply_bi(url, PlantTimes())
    engine = make_engine(url)
    async with engine.begin() as link:
        for role in DatabaseRole:
            name = login(role)
            await link.execute(text(f"DROP ROLE IF EXISTS {name}"))
            await link.execute(text(f"CREATE ROLE {name} LOGIN IN ROLE {role}"))
        owner = login(DatabaseRole.OWNER)
        await link.execute(text(f"ALTER ROLE {owner} SET role = '{DatabaseRole.OWNER}'"))
    yield url
    await engine.dispose()


def as_role(url: str, role: DatabaseRole) -> str:
    return url.replace("postgres@", f"{login(role)}@")


async def allowed(engine: AsyncEngine, statement: str) -> bool:
    """Whether the database lets the statement through; it is rolled back."""
    try:
        async with connected(engine, 10.0, "trying") as link:
            await link.execute(text(statement))
            await link.rollback()
    except (UnavailableError, RefusedRowError) as error:
        if not REFUSED.search(str(error)):
            raise
        return False
    return True


def statement_of(verb: Verb, table: str) -> str:
    column = {"history_version": "version_num"}.get(table) or next(
        c.name for c in rights.METADATA.tables[table].columns
    )
    return STATEMENTS[verb].format(table=table, column=column)


@pytest.mark.asyncio
async def test_every_role_table_and_verb(granted: str) -> None:
    for role in DatabaseRole:
        engine = make_engine(as_role(granted, role))
        found = {(t, v): await allowed(engine, statement_of(v, t)) for t in TABLES for v in Verb}
        await engine.dispose()
        assert found == {(t, v): may(role, v, t) for t in TABLES for v in Verb}, role


def test_every_table_is_of_one_kind() -> None:
    kept = (*rights.BY_TRIGGERS, *rights.OF_LOGINS, *rights.OF_REVIEWING, rights.VERSION_TABLE)
    kinds = (*INSERT_ONLY, *kept)
    assert sorted(kinds) == sorted(TABLES)


def test_nobody_changes_what_is_insert_only() -> None:
    changes = (Verb.UPDATE, Verb.DELETE, Verb.TRUNCATE)
    assert not any(may(r, v, t) for r in DatabaseRole for v in changes for t in INSERT_ONLY)


def test_the_shipped_sql_says_what_the_data_says() -> None:
    assert SQL.read_text("utf-8") == rights.shipped_sql(), "andon history grant --sql > " + str(SQL)


@pytest.mark.asyncio
async def test_roles_do_their_work(granted: str) -> None:
    """The recorder records parts and their facts, people put a policy in force, a console reads."""
    writer = PostgresHistoryWriter(as_role(granted, DatabaseRole.RECORDER))
    await writer.add_decisions([decision(1)])
    await writer.add_decisions([decision(1)])
    await writer.close()
    people = PolicyLog(as_role(granted, DatabaseRole.PROCESS))
    await people.store_version("ab" * 32, "tile", {"product": "tile"})
    await people.require_audits()
    deed = Deed(actor="ada", action="policy.apply", object="tile", login="declared", via="cli")
    await people.append_audit("tile", None, "ab" * 32, "ada", "first", deed=deed)
    assert (await people.in_force("tile")) is not None
    await people.close()
    models = ModelLog(as_role(granted, DatabaseRole.PROCESS))
    assert await models.changes("tile") == []
    await models.close()
    for role in (DatabaseRole.CONSOLE, DatabaseRole.PROCESS):
        history = History(as_role(granted, role))
        assert len((await history.list_frames(FrameFilter())).frames) == 1
        assert (await history.gaps()).false_facts == ()
        await history.close()


@pytest.mark.asyncio
async def test_who_may_not_write_the_audits_is_told_before_anything_changes(granted: str) -> None:
    """As between an upgrade and `andon history grant`: the policy was in force, without a row."""
    owner = make_engine(granted)
    async with owner.begin() as link:
        await link.execute(text("REVOKE INSERT ON console_audit FROM andon_process"))
    people = PolicyLog(as_role(granted, DatabaseRole.PROCESS))
    with pytest.raises(RefusedRowError, match=r"console_audit; `andon history grant`"):
        await people.require_audits()
    await people.close()
    await owner.dispose()


@pytest.mark.asyncio
async def test_a_recorder_waits_for_who_may_migrate(granted: str, empty_url: str) -> None:
    """Events are not set aside for a schema that is not there yet."""
    await grant(empty_url)
    writer = PostgresHistoryWriter(as_role(empty_url, DatabaseRole.RECORDER))
    with pytest.raises(UnavailableError, match="andon history migrate"):
        await writer.add_decisions([decision(1)])
    await upgrade(as_role(empty_url, DatabaseRole.OWNER))
    await writer.add_decisions([decision(1)])
    await writer.close()


@pytest.mark.asyncio
async def test_the_reader_has_the_views_alone(granted: str) -> None:
    engine = make_engine(as_role(granted, DatabaseRole.READER))
    assert await allowed(engine, "SELECT count(*) FROM bi.part")
    assert not await allowed(engine, "SELECT count(*) FROM frame_history")
    await engine.dispose()


@pytest.mark.asyncio
async def test_a_console_makes_nothing(granted: str) -> None:
    engine = make_engine(as_role(granted, DatabaseRole.CONSOLE))
    for statement in (
        "CREATE TABLE mine (a integer)",
        "CREATE TEMPORARY TABLE part_fact (a integer)",
        "SELECT backfill_facts(1)",
        "ALTER TABLE decision DISABLE TRIGGER insert_only",
        "SET ROLE andon_owner",
    ):
        assert not await allowed(engine, statement), statement
    await engine.dispose()


@pytest.mark.asyncio
async def test_even_the_owner_removes_rows_only_on_purpose(granted: str) -> None:
    writer = PostgresHistoryWriter(granted)
    await writer.add_decisions([decision(1)])
    await writer.close()
    engine = make_engine(as_role(granted, DatabaseRole.OWNER))
    with pytest.raises(RefusedRowError, match="only ever added: DELETE is refused"):
        async with connected(engine, 5.0, "removing") as link:
            await link.execute(text("DELETE FROM decision"))
    async with connected(engine, 5.0, "removing") as link:
        await link.execute(text("ALTER TABLE decision DISABLE TRIGGER insert_only"))
        await link.execute(text("DELETE FROM decision"))
        await link.execute(text("ALTER TABLE decision ENABLE TRIGGER insert_only"))
        assert await link.scalar(text("SELECT count(*) FROM decision")) == 0
    await engine.dispose()


@pytest.mark.asyncio
async def test_the_owner_migrates_an_empty_database_and_grants(
    granted: str, empty_url: str
) -> None:
    """What a migration makes is the owner's, and granted in the same transaction."""
    await grant(empty_url)
    await upgrade(as_role(empty_url, DatabaseRole.OWNER))
    assert await current(empty_url) == head()
    people = ModelLog(as_role(empty_url, DatabaseRole.PROCESS))
    assert await people.changes("tile") == []
    await people.close()
    engine = make_engine(empty_url)
    async with engine.connect() as link:
        owners = text("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert list((await link.scalars(owners)).all()) == [DatabaseRole.OWNER]
    await engine.dispose()


def test_roles_that_work_on_messages_have_no_database() -> None:
    without = {Role.GATEWAY, Role.INSPECT, Role.CLASSIFY, Role.JOIN, Role.LIMITS, Role.MQTT}
    assert set(Role) - set(rights.OF_LINE) == without
