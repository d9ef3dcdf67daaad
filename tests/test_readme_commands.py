"""Each command line of the README and the documents is one that exists and parses.

A command's own parser reads the line, and its body does not run: an unknown option, a missing
argument or a removed subcommand fails with the document and the line.
"""

import contextlib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from andon.__main__ import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SHELLS = ("", "sh", "bash", "console")
PROGRAMS = ("andon", "make", "pytest", "python", "serve", "ray", "sh")
FENCED = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:.*\\\n)*.*\n")
INLINE = re.compile(r"`([^`]+)`")
NAMED_IN_CODE = re.compile(r"`(andon [^`\n{]+)`")
OPTION = re.compile(r"`(--[a-z-]+)")
ASSIGNMENT = re.compile(r"^[A-Z_]+=")
PLACEHOLDERS = {"N": "1", "S": "1", "R": "0.1", "ROLE": "inspect"}
MAKE_TARGET = re.compile(r"^([a-z-]+):(?!=)", re.MULTILINE)
MARKER = re.compile(r'^    "(\w+):', re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """One command line of a document."""

    where: str
    text: str
    is_mention: bool
    """It stands in running text, where ``andon train`` means the command without its options."""


def is_command(text: str) -> bool:
    """Whether a line's first word, after assignments, is a program that this test knows."""
    words = [word for word in text.split() if not ASSIGNMENT.match(word)]
    return words[:1] != [] and words[0].removeprefix(".venv/bin/") in PROGRAMS


def lines_of(document: Path) -> Iterator[Line]:
    """Command lines of the fenced blocks, joined where a backslash continues them, and inline."""
    text = document.read_text(encoding="utf-8")

    def where(position: int) -> str:
        return f"{document.relative_to(ROOT)}:{text.count(chr(10), 0, position) + 1}"

    for block in FENCED.finditer(text):
        for found in COMMAND.finditer(block["body"]):
            line = found[0].replace("\\\n", " ").strip().removeprefix("$ ")
            if block["language"] in SHELLS and is_command(line):
                yield Line(where(block.start("body") + found.start()), line, is_mention=False)
    # The blocks become blank, of the same length and lines.
    prose = FENCED.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    for found in INLINE.finditer(prose):
        if is_command(found[1]):
            yield Line(where(found.start()), " ".join(found[1].split()), is_mention=True)


def words_of(text: str) -> list[str]:
    """The words that the shell hands over: no assignments, comment, redirection or brackets."""
    text = re.sub(r"[\[\]]", " ", text) if "[-" in text else text
    words = [word for word in shlex.split(text, comments=True) if not ASSIGNMENT.match(word)]
    for end in ("&", ">", "|", ";"):
        words = words[: words.index(end)] if end in words else words
    # ``FRAME|PART`` is one or the other, ``IMAGES...`` one or more, ``N`` and the like a number.
    words = [re.sub(r"(?<=\w)(\|.*|\.\.\.)$", "", word) for word in words]
    return [PLACEHOLDERS.get(word, word) for word in words]


def parse_andon(words: list[str], is_mention: bool) -> None:
    """Parse as ``andon`` would, without running; raises what the parser raises."""
    command = typer.main.get_command(app)
    parent, name = None, "andon"
    while isinstance(command, TyperGroup):
        if words[:1] in (["--help"], ["-h"]) or (not words and is_mention):
            return
        context = command.make_context(name, list(words), parent=parent)
        rest = [*context._protected_args, *context.args]
        if not rest and command.invoke_without_command:
            return
        found, command, words = command.resolve_command(context, rest)
        name, parent = found or name, context
    if is_mention and not words:
        return
    listed = f"{command.help}\n{getattr(command, 'epilog', '')}"
    for option, given in itertools.pairwise(words):
        name = given.partition("=")[0]
        is_known = option != "--set" or re.search(rf"^{name}: ", listed, re.MULTILINE)
        assert is_known, f"--set has no option {name}"
    with pytest.MonkeyPatch.context() as patch:
        for parameter in command.params:
            # The files that a document speaks of are the reader's own.
            patch.setattr(parameter.type_descriptor.parameter_info, "exists", False)
        with contextlib.suppress(typer.Exit):  # --help
            command.make_context(name, list(words), parent=parent)


def check(line: Line) -> None:
    """Raise, with what is wrong, when the line cannot be run."""
    program, *words = words_of(line.text)
    match Path(program).name:
        case "andon":
            parse_andon(words, line.is_mention)
        case "make":
            targets = MAKE_TARGET.findall((ROOT / "Makefile").read_text())
            assert words[0] in targets, f"the Makefile has no target {words[0]}"
        case "pytest":
            markers = MARKER.findall((ROOT / "pyproject.toml").read_text())
            if "-m" in words:
                asked = words[words.index("-m") + 1].removeprefix("not ")
                assert asked in markers, f"pyproject.toml has no marker {asked}"
        case "python" if words[:1] == ["-m"]:
            module = ROOT / words[1].replace(".", "/")
            is_ours = module.parts[len(ROOT.parts)] != "pytest"
            found = module.with_suffix(".py").is_file() or module.is_dir()
            assert found or not is_ours, f"no module {words[1]}"
    for word in words:
        path = word.partition("::")[0]
        if path.startswith(("tests/", "infra/", "policies/", "docs/")):
            assert (ROOT / path).exists(), f"no file {path}"


def refused(lines: Iterable[Line]) -> list[str]:
    wrong = []
    for line in lines:
        try:
            check(line)
        except typer.Exit:  # `andon --version` has answered
            continue
        except (TyperException, AssertionError) as error:
            wrong.append(f"{line.where}: {line.text}: {error}")
    return wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_each_command_line_parses(document: Path) -> None:
    assert not refused(lines_of(document))


def test_each_command_that_the_code_names_parses() -> None:
    """Docstrings and messages tell people to run ``andon ...``, too."""
    assert not refused(
        Line(str(path.relative_to(ROOT)), " ".join(found[1].split()), is_mention=True)
        for package in ("andon", "connectors", "history", "lab", "policies", "serving", "streams")
        for path in sorted((ROOT / package).rglob("*.py"))
        for found in NAMED_IN_CODE.finditer(path.read_text(encoding="utf-8"))
    )


def test_the_readme_has_command_lines() -> None:
    found = [line.text for line in lines_of(ROOT / "README.md")]
    assert len(found) > 25
    assert any("--images DIR" in text for text in found)


def options_of(command: object) -> set[str]:
    """Every option of a command and of its subcommands."""
    found = {"--help"}
    for parameter in getattr(command, "params", []):
        found |= {*parameter.opts, *parameter.secondary_opts}
    if isinstance(command, TyperGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            found |= options_of(command.resolve_command(context, [name])[1])
    return found


def test_each_option_that_a_document_names_is_one() -> None:
    known = options_of(typer.main.get_command(app))
    unknown = [
        f"{document.relative_to(ROOT)}: {option}"
        for document in DOCUMENTS
        for option in OPTION.findall(document.read_text(encoding="utf-8"))
        if option not in known
    ]
    assert not unknown, "\n".join(unknown)


@pytest.mark.parametrize(
    "text",
    [
        "andon benchmark line --no-such-option",
        "andon no-such-command",
        "andon train --product tile --images DIR --set no-such-option=1",
        "andon policy backtest",
        "make no-such-target",
        "pytest tests/no_such_test.py",
        "python -m lab.no_such_module",
    ],
)
def test_a_wrong_line_is_found(text: str) -> None:
    with pytest.raises((TyperException, AssertionError)):
        check(Line("here:1", text, is_mention=False))
