"""Every example of the guide and the cookbook runs, and prints what the page says."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli.policy import app
from policies.authoring.loading import check_file

DOCS = Path(__file__).parents[3] / "docs" / "policies"
BLOCK = re.compile(r"^```(\w+)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    kind: str
    options: str
    body: str


def blocks(text: str) -> list[Block]:
    return [Block(*match.groups()) for match in BLOCK.finditer(text)]


def recipes() -> list[tuple[str, list[Block]]]:
    text = (DOCS / "cookbook.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return [(section.splitlines()[0], blocks(section)) for section in sections]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the guide's files, and the place where its commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    for block in blocks((DOCS / "guide.md").read_text()):
        if block.kind == "yaml":
            (tmp_path / block.options.removeprefix("file=")).write_text(block.body)
    return tmp_path


def run_console(body: str) -> int:
    """Run each ``$`` line; every line below it must be in its output. Returns how many ran."""
    commands = re.split(r"^\$ andon policy ", body, flags=re.MULTILINE)[1:]
    for command in commands:
        line, *expected = command.strip().splitlines()
        output = CliRunner().invoke(app, shlex.split(line)).output
        for text in expected:
            assert text.strip() in output, f"$ {line}\n{output}"
        assert expected, "an example without an answer shows nothing"
    return len(commands)


def test_the_guide(folder: Path) -> None:
    ran = 0
    for block in blocks((DOCS / "guide.md").read_text()):
        if block.kind != "console":
            continue
        good = (folder / "tile.yaml").read_text()
        broken = good
        for change in filter(None, block.options.removeprefix("broken=").split(";")):
            old, new = change.split("->")
            assert old in broken
            broken = broken.replace(old, new)
        (folder / "tile.yaml").write_text(broken)
        ran += run_console(block.body)
        (folder / "tile.yaml").write_text(good)
    assert ran >= 6


def test_there_are_twelve_recipes() -> None:
    assert [title.split(".")[0] for title, _ in recipes()] == [str(n) for n in range(1, 13)]


@pytest.mark.parametrize(("title", "found"), recipes(), ids=[title for title, _ in recipes()])
def test_each_recipe(folder: Path, title: str, found: list[Block]) -> None:
    (fragment,) = (block.body for block in found if block.kind == "yaml")
    path = folder / "recipe.yaml"
    path.write_text("extends: tile.yaml\n" + fragment)
    report = check_file(path)
    assert (report.errors, report.warnings) == ((), ())
    assert sum(run_console(block.body) for block in found if block.kind == "console") >= 1
