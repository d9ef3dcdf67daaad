"""The laboratory's commands: listed without being imported, run when they are called."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from andon.cli import laboratory

runner = CliRunner()


@pytest.mark.parametrize("words", [["--help"], ["llm", "--help"], ["worker", "--help"]])
def test_a_help_imports_no_laboratory_and_no_pytorch(words: list[str]) -> None:
    script = (
        "import sys, andon.__main__ as m\n"
        "try: m.app(sys.argv[1:])\n"
        "finally: assert not {'lab', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script, *words], check=True, capture_output=True)


def test_the_help_names_every_command() -> None:
    shown = runner.invoke(app, ["--help"]).stdout
    for name in ("gateway", "worker", "doctor", "llm", "demo", "benchmark"):
        assert f" {name} " in shown


@pytest.mark.parametrize(
    ("words", "option"),
    [(["demo"], "--parts"), (["llm", "twin"], "--latency-ms"), (["benchmark", "line"], "--smoke")],
)
def test_a_called_command_is_the_laboratory_s_own(words: list[str], option: str) -> None:
    done = runner.invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert option in done.stdout


def test_without_its_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lab.cli", None)
    with pytest.raises(laboratory.MissingExtraError, match=r"pip install 'andon\[lab"):
        laboratory.laboratory_command("demo")


def test_an_unknown_command_is_bad_usage() -> None:
    done = runner.invoke(app, ["no-such-command"])
    assert done.exit_code == 2
    assert "No such command" in done.output
