"""``andon topics acl``: what each role may do on Kafka, shown, checked and applied."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType

from andon.cli.options import Json
from andon.cli.printing import plain, print_found, table_of_rows
from streams.principals import ACCESS, Role, may_read, may_write

if TYPE_CHECKING:
    from rich.table import Table

    from streams.kafka.access import AccessRule, AccessState, ScramCredential
    from streams.kafka.connection import KafkaConnection


def acl(
    principal: Annotated[
        str,
        typer.Option(help="How brokers name who asks; {user} and {role} are filled in."),
    ] = "User:{user}",
    host: Annotated[str, typer.Option(help="The address that clients come from; * is any.")] = "*",
    passwords: Annotated[
        Path | None,
        typer.Option(
            help="With --apply: make each role a SCRAM user, its password in USER.password there."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the brokers; exit code 1 if they differ.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Add what is missing.")] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="With --apply: remove what allows more than the matrix."),
    ] = False,
    commands: Annotated[
        bool, typer.Option("--commands", help="Print lines for Kafka's own kafka-acls.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What each role may write and read; everything else is refused.

    The brokers refuse by default where they have an authorizer and
    allow.everyone.if.no.acl.found=false. --check and --apply are for the administrator, whom the
    brokers' own configuration must name first (super.users). Passwords that are in the folder
    are used, and the others made.
    """
    from streams.kafka.access import wanted_rules

    rules = wanted_rules(principal, host)
    if prune and not apply:
        raise typer.BadParameter("--prune goes with --apply")
    if passwords is not None and not apply:
        raise typer.BadParameter("--passwords goes with --apply")
    if not check and not apply:
        if commands:
            for rule in rules:
                typer.echo(rule.command)
            return
        print_found([asdict(rule) for rule in rules], [matrix()], as_json)
        return
    from andon.settings import load_settings
    from andon.wiring import brokers

    connection = brokers.kafka_connection(load_settings())
    with Console(stderr=True).status("asking the brokers"):
        state = asyncio.run(_bring(connection, rules, apply, prune, passwords))
    print_found(_as_json(state), _shown(state), as_json)
    raise typer.Exit(0 if state.is_right else 1)


def matrix() -> "Table":
    """Topics by roles: ``w`` writes, ``r`` reads."""
    headings = ("topic", *(role.value for role in Role))
    rows = [[topic, *(_letters(role, topic) for role in Role)] for topic in ACCESS]
    title = "What each role may do: w writes, r reads; everything else is refused"
    return table_of_rows(headings, rows, title)


def _letters(role: Role, topic: str) -> str:
    return ("w" if may_write(role, topic) else "") + ("r" if may_read(role, topic) else "")


async def _bring(
    connection: "KafkaConnection",
    rules: "Iterable[AccessRule]",
    apply: bool,
    prune: bool,
    passwords: Path | None,
) -> "AccessState":
    """What the brokers have, after what was asked for is done."""
    from streams.kafka.access import add_rules, read_access, remove_rules, set_passwords

    state = await read_access(connection, rules)
    if not apply:
        return state
    await add_rules(connection, state.missing)
    if prune:
        await remove_rules(connection, state.others)
    if passwords is not None:
        await set_passwords(connection, _credentials(passwords))
    return await read_access(connection, rules)


def _credentials(folder: Path) -> "Mapping[str, ScramCredential]":
    """Of every role but the administrator, who asks by a password of its own."""
    from infra.stack.certificates import password_of
    from streams.kafka.access import ScramCredential

    users = [role.user for role in Role if role is not Role.ADMIN]
    return {user: ScramCredential.of(password_of(folder, user)) for user in users}


def _as_json(state: "AccessState") -> dict[str, object]:
    return {
        "right": state.is_right,
        "present": len(state.present),
        "missing": [asdict(rule) for rule in sorted(state.missing)],
        "others": [asdict(rule) for rule in sorted(state.others)],
    }


def _shown(state: "AccessState") -> "Iterable[RenderableType]":
    rows = [
        (words, plain(rule.principal), rule.operation, f"{rule.resource} {plain(rule.name)}{star}")
        for words, rules in (
            ("[red]missing[/]", state.missing),
            ("[red]allows too much[/]", state.others),
        )
        for rule in sorted(rules)
        for star in ["*" if rule.prefixed else ""]
    ]
    if rows:
        yield table_of_rows(("", "who", "may", "on"), rows)
    if state.missing:
        yield "`andon topics acl --apply` adds what is missing"
    if state.others:
        yield "`andon topics acl --apply --prune` removes what allows too much"
    if state.is_right:
        yield f"right: {len(state.present)} rules, and nobody may do more"
