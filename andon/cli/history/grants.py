"""``andon history grant``: who may do what in the database."""

import asyncio
import json
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.settings import load_settings
from history.migrate import grant as apply_rights
from history.rights import OF_LINE, TABLES, DatabaseRole, Verb, may, shipped_sql


def grant(
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements; apply none.")] = False,
    as_json: Json = False,
) -> None:
    """Create the database's roles and their rights: owner, recorder, console, process, reader.

    Nobody may change or remove a row of an insert-only table. Run it as a superuser, after
    `andon history migrate`; run it again at any time. Each migration grants again what its new
    tables need. Logins are the plant's: `CREATE ROLE line1_record LOGIN IN ROLE andon_recorder`.
    """
    if sql:
        typer.echo(shipped_sql(), nl=False)
        return
    asyncio.run(apply_rights(load_settings().postgres.url.get_secret_value()))
    rights = {
        role.value: {table: verbs for table in TABLES if (verbs := _verbs(role, table))}
        for role in DatabaseRole
    }
    if as_json:
        typer.echo(json.dumps({"rights": rights, "of": dict(OF_LINE)}))
        return
    for line_role, role in OF_LINE.items():
        typer.echo(f"GRANT {role} TO the login of {line_role}")


def _verbs(role: DatabaseRole, table: str) -> list[str]:
    return [verb.value for verb in Verb if may(role, verb, table)]
