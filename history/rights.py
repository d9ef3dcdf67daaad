"""Who may do what in the database: roles of PostgreSQL, their rights on each table, as data.

``sql/roles.sql`` is written from it, ``andon history grant`` applies it, and the table of the
security page and the tests derive from it. What it does not allow is refused.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from history.bi import READER
from history.console_tables import (
    AUDIT,
    HANDOVERS,
    REVIEW_LEASES,
    REVIEWED_JUST_NOW,
    SESSIONS,
    USERS,
)
from history.facts import BACKFILL, COUNTS, FACTS, SHOTS
from history.tables import METADATA, TOPIC_TABLES
from streams.principals import Role

VERSION_TABLE: Final = "history_version"
"""Which migration the database has."""


class Verb(StrEnum):
    """What a statement does with a table."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"


class DatabaseRole(StrEnum):
    """Roles without login, which people's and processes' logins are members of."""

    OWNER = "andon_owner"
    """Owns the tables and migrates them."""
    RECORDER = "andon_recorder"
    """Adds what the line did, and reads nothing of it."""
    CONSOLE = "andon_console"
    """Reads the history, keeps who may log in and what people did, and adds to the audits of
    policies and models."""
    PROCESS = "andon_process"
    """Reads the history, and adds to the audits of policies and models, and of what people do."""
    READER = READER
    """Reads the views of schema ``bi``; no table."""


OF_LINE: Final[Mapping[Role, DatabaseRole]] = {
    Role.RECORD: DatabaseRole.RECORDER,
    Role.CONSOLE: DatabaseRole.CONSOLE,
    Role.PROCESS: DatabaseRole.PROCESS,
    Role.ADMIN: DatabaseRole.OWNER,
}
"""The role of the database that each role of the line is a member of; the others have none."""

OF_CHANGES: Final = ("policy_version", "policy_audit", "model_audit")
"""Who put which policy and which model in force."""
OF_LOGINS: Final = (USERS.name, SESSIONS.name)
"""Who may log in at the console, and who is: nobody else reads them."""
OF_REVIEWING: Final = (REVIEW_LEASES.name, REVIEWED_JUST_NOW.name)
"""Who reviews what just now: the consoles write it, and take it away again."""
BY_PEOPLE: Final = (HANDOVERS.name, AUDIT.name)
"""What people write at the console and nobody changes."""
INSERT_ONLY: Final = (*TOPIC_TABLES, *OF_CHANGES, *BY_PEOPLE)
"""A row of these is never changed; a trigger says so to the owner, too."""
BY_TRIGGERS: Final = (FACTS.name, COUNTS.name, SHOTS.name, BACKFILL.name)
"""Kept by triggers with the owner's rights, so that nobody else writes them."""
TABLES: Final = (*METADATA.tables, VERSION_TABLE)
_READS_ALL: Final = (DatabaseRole.CONSOLE, DatabaseRole.PROCESS)
_BY_RECORDER: Final = ("backfill_facts(integer)", "add_months(integer, timestamptz)")
"""They run with their owner's rights: the recorder prepares what an earlier version recorded, and
makes parts for the months to come."""


def may(role: DatabaseRole, verb: Verb, table: str) -> bool:
    """Whether the role may do that with the table.

    >>> may(DatabaseRole.RECORDER, Verb.INSERT, "decision")
    True
    >>> may(DatabaseRole.RECORDER, Verb.UPDATE, "decision")
    False
    """
    match role:
        case DatabaseRole.OWNER:
            return table not in INSERT_ONLY or verb in (Verb.SELECT, Verb.INSERT)
        case DatabaseRole.RECORDER if verb is Verb.INSERT:
            return table in TOPIC_TABLES
        case DatabaseRole.PROCESS if verb is Verb.INSERT:
            return table in (*OF_CHANGES, AUDIT.name)
        case DatabaseRole.CONSOLE if verb is Verb.INSERT:
            return table in (*OF_CHANGES, *OF_LOGINS, *OF_REVIEWING, *BY_PEOPLE)
        case DatabaseRole.CONSOLE if verb is Verb.UPDATE:
            return table in (*OF_LOGINS, *OF_REVIEWING)
        case DatabaseRole.CONSOLE if verb is Verb.DELETE:
            return table in OF_REVIEWING
        case DatabaseRole.PROCESS if table in OF_LOGINS:
            return False
    if verb is not Verb.SELECT:
        return False
    return role in _READS_ALL or (role is DatabaseRole.RECORDER and table == VERSION_TABLE)


def role_statements() -> Iterator[str]:
    """Creates the roles, and gives all that is there to the owner. Needs a superuser, or a role
    that may create roles, owns the objects and is made a member of the owner."""
    for role in DatabaseRole:
        yield (
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN;\n"
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    owner = DatabaseRole.OWNER
    yield (
        "DO $$ BEGIN\n"
        f"    EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO {owner}', "
        "current_database());\n"
        "    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());\n"
        "END $$"
    )
    yield f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}"
    yield _GIVE_TO_OWNER.format(owner=owner)


def grant_statements() -> Iterator[str]:
    """The rights on the tables; needs their owner. Applied again after each migration."""
    others = ", ".join(role for role in DatabaseRole if role is not DatabaseRole.OWNER)
    working = ", ".join((DatabaseRole.RECORDER, *_READS_ALL))
    yield "REVOKE ALL ON SCHEMA public FROM PUBLIC"
    yield f"GRANT USAGE ON SCHEMA public TO {working}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {others}"
    yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {others}"
    for function in _BY_RECORDER:
        yield f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC"
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {DatabaseRole.RECORDER}"
    for role in _READS_ALL:  # views too
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    yield f"REVOKE ALL ON {', '.join(OF_LOGINS)} FROM {DatabaseRole.PROCESS}"
    for role in DatabaseRole:
        if role is not DatabaseRole.OWNER:
            for table in TABLES:
                verbs = [v for v in Verb if may(role, v, table)]
                if verbs and (role not in _READS_ALL or verbs != [Verb.SELECT]):
                    yield f"GRANT {', '.join(verbs)} ON {table} TO {role}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {', '.join(_READS_ALL)}"


_GIVE_TO_OWNER: Final = """DO $$ DECLARE thing record; BEGIN
    FOR thing IN SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'bi'))
        AND c.relkind IN ('r', 'v', 'p') AND pg_get_userbyid(c.relowner) <> '{owner}'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO {owner}', thing.name);
    END LOOP;
    FOR thing IN SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND pg_get_userbyid(p.proowner) <> '{owner}'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO {owner}', thing.name);
    END LOOP;
    FOR thing IN SELECT nspname FROM pg_namespace WHERE nspname = 'bi'
        AND pg_get_userbyid(nspowner) <> '{owner}' LOOP
        EXECUTE 'ALTER SCHEMA bi OWNER TO {owner}';
    END LOOP;
END $$"""


def shipped_sql() -> str:
    """The text of ``sql/roles.sql``, for whoever applies it by ``psql``."""
    return f"{_HEADER}\n" + "".join(f"\n{s};\n" for s in (*role_statements(), *grant_statements()))


_HEADER: Final = """\
-- Roles of the history's database and their rights. Written by `andon history grant --sql` from
-- history/rights.py; may be applied again. Give each login one of them:
--     CREATE ROLE line1_record LOGIN PASSWORD '...' IN ROLE andon_recorder;
-- A login that migrates acts as the owner, so that the tables stay the owner's:
--     CREATE ROLE line1_admin LOGIN PASSWORD '...' IN ROLE andon_owner;
--     ALTER ROLE line1_admin SET role = 'andon_owner';"""
