"""The token that Ray's cluster and its ingress ask for, as a file that holds it."""

from pathlib import Path


def read_token(file: Path | None) -> str:
    """The token; empty where there is no such file."""
    return file.read_text().strip() if file is not None and file.exists() else ""


def told_token(file: Path | None) -> str:
    """Which token is sent, in words for whoever was refused, and where another one is named."""
    if file is None:
        return "no token was sent"
    if file.exists():
        return f"the token in {file.absolute()}; ANDON_SERVE__TOKEN_FILE names another file"
    return (
        f"no token was sent: there is no {file.absolute()}; give the command in the folder of "
        "`andon stack up`, or name the file in ANDON_SERVE__TOKEN_FILE"
    )
