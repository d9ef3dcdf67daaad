"""``andon history grant``: who may do what in the database and in the object store."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.settings import load_settings
from history.migrate import grant as apply_rights
from history.rights import OF_LINE, TABLES, DatabaseRole, Verb, may, shipped_sql


def grant(
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements; apply none.")] = False,
    objects: Annotated[
        Path | None,
        typer.Option(
            help="The object store instead, a MinIO: make each role's policy and its user, whose "
            "secret is, or is made, in USER.s3.password of this folder."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create the database's roles and their rights: owner, recorder, console, process, reader.

    Nobody may change or remove a row of an insert-only table. Run it as a superuser, after
    `andon history migrate`; run it again at any time. Each migration grants again what its new
    tables need. Logins are the plant's: `CREATE ROLE line1_record LOGIN IN ROLE andon_recorder`.
    """
    if objects is not None:
        if sql:
            raise typer.BadParameter("--sql shows the database's rights, --objects has none")
        _grant_objects(objects, as_json)
        return
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


def _grant_objects(folder: Path, as_json: bool) -> None:
    from history.object_rights import RIGHTS
    from history.object_users import apply_users, user_of
    from infra.stack.certificates import password_of

    own = load_settings().s3
    users = {user_of(role): rights for role, rights in RIGHTS.items()}
    secrets = {user: password_of(folder, f"{user}.s3") for user in users}
    apply_users(
        own.endpoint,
        own.access_key.get_secret_value(),
        own.secret_key.get_secret_value(),
        secrets,
        bucket=own.bucket,
        secure=own.secure,
        timeout_s=own.timeout_s,
    )
    if as_json:
        made = {user: {"puts": puts, "reads": reads} for user, (puts, reads) in users.items()}
        typer.echo(json.dumps({"users": made, "secrets": str(folder)}))
        return
    for user, (puts, reads) in users.items():
        may = " and ".join(
            f"{verb} {', '.join(prefixes)}"
            for verb, prefixes in (("puts below", puts), ("reads", reads))
            if prefixes
        )
        typer.echo(f"{user} {may}: ANDON_S3__ACCESS_KEY={user}, its secret in {user}.s3.password")
