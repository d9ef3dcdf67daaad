"""Options that are one object: shared by commands, or given by ``--set``."""

from typing import Annotated

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from andon.cli.options import More, MoreOptions, listed, read_options, taking


class Rare(MoreOptions):
    deep_water: int = Field(3, ge=1, description="Metres.")
    is_salt: bool = Field(False, description="Whether it is.")


def chosen(
    colour: Annotated[str, typer.Option(help="A colour.")] = "red", more: More = None
) -> tuple[str, Rare]:
    return colour, read_options(Rare, more)


app = typer.Typer(add_completion=False)


@app.command(epilog=listed(Rare))
@taking(both=chosen)
def paint(name: str, both: tuple[str, Rare], twice: bool = False) -> None:
    """Paint it."""
    typer.echo(f"{name} {both[0]} {both[1].deep_water} {both[1].is_salt} {twice}")


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    return done.output.strip()


def test_a_command_gets_the_object_that_its_options_make() -> None:
    assert run("boat") == "boat red 3 False False"
    words = ["--colour", "blue", "--set", "deep-water=7", "--set", "is_salt=yes", "--twice"]
    assert run("boat", *words) == "boat blue 7 True True"


def test_the_help_names_shared_and_rare_options() -> None:
    shown = run("--help")
    for words in ("--colour", "--twice", "--set", "deep-water: Metres. Default: 3."):
        assert words in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("deep-water=0", "deep-water: Input should be greater"),
        ("depth=1", "no option 'depth'; there are deep-water, is-salt"),
        ("deep-water", "not of the form name=value"),
    ],
)
def test_a_wrong_option_is_bad_usage(given: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        read_options(Rare, [given])
