"""``andon policy key``: the keys that sign what is in force."""

import json
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.options import Json, group
from andon.settings import load_settings
from policies.signing import Signer, TrustedKeys, key_id, make_key, public_file, public_pem

key = group("Keys that sign policies, and those that are trusted.")


@key.command()
def new(
    path: Annotated[Path, typer.Argument(help="Private key to write; its public one gets .pub.")],
    as_json: Json = False,
) -> None:
    """Make an Ed25519 key. Copy the `.pub` into the trusted folder of every host of the line."""
    name = make_key(path)
    public = public_file(path)
    words = f"key {name}: sign with ANDON_SIGNING__KEY_FILE={path}; trust {public}"
    made = {"key": name, "private": str(path), "public": str(public)}
    typer.echo(json.dumps(made) if as_json else words)


@key.command()
def show(as_json: Json = False) -> None:
    """Which key this host signs with and which keys it trusts; exit code 1 when none is trusted."""
    own, trusted, public = load_settings().signing, list[str](), ""
    if own.trusted_keys is not None:
        trusted = sorted(TrustedKeys.load(own.trusted_keys).keys)
    name = ""
    if own.key_file is not None:
        signing = Signer.load(own.key_file).key.public_key()
        name, public = key_id(signing), public_pem(signing).decode()
    if as_json:
        typer.echo(json.dumps({"key": name, "public": public, "trusted": trusted}))
    else:
        typer.echo(f"signs with: {name or 'no key'}")
        typer.echo(f"trusts: {', '.join(trusted) or 'every policy on the topic, signed or not'}")
        if public:
            typer.echo(public, nl=False)
    raise typer.Exit(0 if trusted else 1)
