"""Who wants a policy in force, and why: the options of every command that changes one."""

import getpass
from dataclasses import dataclass
from typing import Annotated

import typer

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class Request:
    """Who wants a version in force, why, and what need not be asked."""

    reason: str
    by: str
    yes: bool
    allow_softening: bool


def stated_request(
    reason: Annotated[str, typer.Option(help="Why; kept in the audit table.")] = "",
    by: Annotated[str, typer.Option(help="Who; by default the user of this host.")] = "",
    yes: Yes = False,
    allow_softening: Annotated[
        bool, typer.Option("--allow-softening", help="Let parts pass that are stopped today.")
    ] = False,
) -> Request:
    """The request behind the options of a command."""
    return Request(reason, by or getpass.getuser(), yes, allow_softening)
