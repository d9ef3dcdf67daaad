"""What somebody does at a prompt, as the console's audit writes it down."""

import getpass
import socket
import sys

import typer

from console.policies.answers import REASON_LENGTHS
from history.console_audit import DECLARED, Deed


def stated_reason(given: str, may_ask: bool = True) -> str:
    """Why something is done: as given, or as whoever is there answers.

    Raises:
        typer.BadParameter: nobody said why, in words that are neither too few nor too many.
    """
    said = given.strip()
    if not said and may_ask and sys.stdin.isatty():
        said = typer.prompt("why (kept in the audit)", err=True).strip()
    if len(said) not in REASON_LENGTHS:
        raise typer.BadParameter(
            f"say why, in {REASON_LENGTHS.start} to {REASON_LENGTHS.stop - 1} characters: it is "
            "kept in the audit",
            param_hint="--reason",
        )
    return said


def deed_here(action: str, object: str = "", after: str = "", reason: str = "") -> Deed:
    """A deed of whoever this host says is at the prompt."""
    return Deed(
        actor=getpass.getuser(),
        action=action,
        object=object,
        login="host",
        via="cli",
        after=after,
        reason=reason,
        address=socket.gethostname(),
    )


def declared_deed(
    action: str, object: str, by: str, reason: str, before: str = "", after: str = ""
) -> Deed:
    """A deed of whoever somebody at the prompt claims to be (``--by``), and whom the host knows."""
    return Deed(
        actor=by,
        action=action,
        object=object,
        login=DECLARED,
        via="cli",
        before=before,
        after=after,
        reason=reason,
        address=socket.gethostname(),
        agent=f"host user {getpass.getuser()}",
    )
