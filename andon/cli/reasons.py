"""Why something is done at a prompt."""

import sys

import typer

from console.policies.answers import REASON_LENGTHS


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
