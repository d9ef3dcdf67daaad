"""What a command prints keeps whole names, and shows text from outside as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from andon.cli.finite import with_finite_numbers
from andon.cli.printing import plain, print_found, table_of_rows


def test_a_piped_table_keeps_whole_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    names = [f"folder/{'n' * length}.png" for length in (10, 90, 300)]
    rows = ((plain(name), "anomalous", "0.123", "a reason of several words" * 9) for name in names)
    table = table_of_rows(("image", "verdict", "score", "why"), rows, "a title")
    print_found({}, [table, "x" * 500], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    for name in names:
        assert any(name in line for line in lines)
    assert "x" * 500 in lines
    assert not any("…" in line for line in lines)
    assert max(map(len, lines)) < 1000, "a table is as wide as its words"


@given(st.text(max_size=60))
def test_any_name_is_shown_as_it_is(name: str) -> None:
    shown = Text.from_markup(plain(name))
    assert not shown.spans
    assert shown.plain.isprintable() or any(not c.isprintable() for c in name)
    if name.isprintable() and not name.endswith("\\"):
        assert shown.plain == name


@pytest.mark.parametrize(
    "name",
    [
        "[red]",
        "[/red]",
        "[/7]",
        "[/]",
        "a[bold]b",
        "[[x]]",
        "\\[x]",
        "[link=http://x]y",
        "[@click=f]",
    ],
)
def test_brackets_are_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_found({}, [table_of_rows(("image",), [(plain(name),)]), plain(name)], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == name
    assert any(f" {name} " in line for line in lines)


def test_a_line_whose_brackets_make_no_markup_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_found({}, ["files: out[/7]/x", "[bold]ok[/]"], as_json=False)
    assert capsys.readouterr().out.splitlines() == ["files: out[/7]/x", "ok"]


def test_json_is_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_found({"name": "[red]"}, iter(()), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"name": "[red]"}


@pytest.mark.parametrize(
    "words", [["--share", "nan"], ["--share", "inf"], ["-s", "-inf"], ["--several", "nan"]]
)
def test_numbers_are_finite(words: list[str]) -> None:
    import typer

    app = typer.Typer()

    @app.command()
    def command(
        share: float = typer.Option(0.5, "--share", "-s"),
        several: list[float] = typer.Option([], "--several"),
    ) -> None:
        raise AssertionError("it must not be called")

    made = with_finite_numbers(typer.main.get_command(app))
    with pytest.raises(SystemExit) as stopped:
        made.main(words, prog_name="x")
    assert stopped.value.code == 2
