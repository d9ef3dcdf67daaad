"""Who wants a policy in force, and why: the options of every command that changes one."""

from dataclasses import dataclass
from typing import Annotated

import typer

from andon.cli.options import By
from andon.cli.reasons import stated_reason

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class Request:
    """Who wants a version in force, why, and what need not be asked."""

    reason: str
    by: str
    yes: bool
    allow_softening: bool


def stated_request(
    reason: Annotated[
        str, typer.Option(help="Why; kept in the audit. Asked for where it is absent.")
    ] = "",
    by: By = "",
    yes: Yes = False,
    allow_softening: Annotated[
        bool,
        typer.Option(
            "--allow-softening",
            help="Let parts pass, or pictures out, that stay today; or watch less.",
        ),
    ] = False,
) -> Request:
    """The request behind the options of a command; who is there to be asked says why.

    Raises:
        typer.BadParameter: nobody said why, in words that are neither too few nor too many.
    """
    return Request(stated_reason(reason, not yes), by, yes, allow_softening)
