"""``andon console add-user``, ``password`` and ``token``: who may use the console."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_found
from andon.deeds import deed_here
from andon.settings import load_settings
from andon.wiring.console import accounts
from console.access import ConsoleRole, common_role
from console.credentials import new_password, new_secret, password_hash, secret_hash
from history.accounts import Accounts, ConsoleUser, Login
from history.errors import NotInHistoryError
from streams.errors import AndonError
from streams.names import fault_of, mended

Name = Annotated[str, typer.Argument(help="The person's name, as it is typed to log in.")]
Role = Annotated[ConsoleRole, typer.Option(help="What the person or program may do.")]


class NotTheirsError(AndonError):
    """A token with a role that its person does not have."""


class TokenOf(StrEnum):
    """What has a token."""

    PROGRAM = "program"
    WALL = "wall"
    TERMINAL = "terminal"


def add_user(name: Name, role: Role = ConsoleRole.VIEWER, as_json: Json = False) -> None:
    """Let a person in; prints a password that opens once and must be changed then."""
    if fault := fault_of(name):
        meant = f": write {mended(name)!r}" if mended(name) else ""
        raise typer.BadParameter(f"{name!r} {fault}{meant}", param_hint="NAME")
    secret = new_password()

    async def work(to: Accounts) -> None:
        account = ConsoleUser(name=name, role=role, must_change=True)
        await to.add(account, await password_hash(secret), deed_here("user.add", name, after=role))

    _run(work)
    shown = f"{name}, {role.value}: password {secret} (shown once; it must be changed)"
    print_found({"name": name, "role": role, "password": secret}, [shown], as_json)


def password(name: Name, as_json: Json = False) -> None:
    """Give a person a new password that opens once; ends every session of theirs."""
    secret = new_password()

    async def work(to: Accounts) -> None:
        kept = await password_hash(secret)
        await to.set_password(name, kept, deed_here("user.password", name), must_change=True)

    _run(work)
    shown = f"{name}: password {secret} (shown once; it must be changed)"
    print_found({"name": name, "password": secret}, [shown], as_json)


def token(
    label: Annotated[str, typer.Argument(help="What the token is for, as the audit names it.")],
    user: Annotated[str, typer.Option(help="Who answers for it; it ends when they are disabled.")],
    role: Role = ConsoleRole.VIEWER,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days until it expires.")] = 90,
    of: Annotated[
        TokenOf, typer.Option(help="A program, a screen on the wall, or a shared terminal.")
    ] = TokenOf.PROGRAM,
    as_json: Json = False,
) -> None:
    """Make a token for a program: `Authorization: Bearer TOKEN`. Shown once.

    Of a `wall` or a `terminal` it is a code that is typed at the browser's page /terminal. A wall
    shows the live page and nothing else. At a terminal people come in with a PIN.
    """
    is_program = of is TokenOf.PROGRAM
    role = role if is_program else ConsoleRole.VIEWER
    secret = new_secret() if is_program else new_password()
    ends = datetime.now(UTC) + timedelta(days=days)

    async def work(to: Accounts) -> None:
        await must_be_theirs(to, user, role)
        login = Login(
            secret_hash=secret_hash(secret),
            user_name=user,
            label=label,
            role=role,
            way="token" if is_program else of.value,
            expires_at=ends,
        )
        made = role if is_program else of.value
        await to.open(login, deed_here("token.add", login.actor, after=made))

    _run(work)
    shown = f"{label}, {role.value}, until {ends:%Y-%m-%d}: {secret} (shown once)"
    found = {"label": label, "role": role, "of": of, "expires_at": ends, "token": secret}
    print_found(found, [shown], as_json)


async def must_be_theirs(to: Accounts, name: str, role: ConsoleRole) -> None:
    """Refuse a token that would open less than it says: its person bounds it."""
    found = await to.find(name)
    if found is None:
        raise NotInHistoryError(f"there is no user {name!r}: `andon console add-user` lets them in")
    own = ConsoleRole(found[0].role)
    if common_role(role, own) is not role:
        may = ", ".join(r.value for r in ConsoleRole if common_role(r, own) is r)
        raise NotTheirsError(
            f"{name} is {own.value}, and a token opens at most what its person may: say "
            f"--role {may}, or name somebody else by --user"
        )


def _run(work: Callable[[Accounts], Awaitable[None]]) -> None:
    async def opened() -> None:
        to = accounts(load_settings())
        try:
            await work(to)
        finally:
            await to.close()

    asyncio.run(opened())
