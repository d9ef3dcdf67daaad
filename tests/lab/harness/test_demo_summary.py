"""What the demo says of each part: on its last screen, in the report, in the CSV."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from lab.cli.demo import MOST_ESCAPED, shown
from lab.demo.parts import COLUMNS, write_parts
from lab.demo.report import write_report
from lab.demo.summary import PartStory, Summary, summarise
from lab.demo.verdicts import Verdicts
from lab.harness.balance import Balance
from streams.codes import Action, DecisionSource, Severity
from streams.events import Inspection

EXTRA = {"alerts": [], "report": "report.html", "parts_csv": "report.csv"}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "part.png"
    cv2.imwrite(str(path), np.full((20, 20, 3), 128, np.uint8))
    return path


def story(picture: Path, part: str, severity: Severity, action: Action | None) -> PartStory:
    label = "good" if severity is Severity.NORMAL else "tear"
    source = DecisionSource.PLC_DEFAULT if action is Action.HOLD else DecisionSource.EXPERT
    inspection = Inspection(
        score=1.5, threshold=1.0, p_value=0.01, anomalous=True, region=None, expert_version="v"
    )
    return PartStory(part, label, severity, picture, action, source, inspection=inspection)


def five(picture: Path) -> list[PartStory]:
    return [
        story(picture, "fine", Severity.NORMAL, Action.PASS),
        story(picture, "harmless", Severity.NEGLIGIBLE, Action.PASS),
        story(picture, "slipped\n<b>", Severity.DEFECT, Action.PASS),
        story(picture, "stopped", Severity.DEFECT, Action.HOLD),
        story(picture, "unheard", Severity.DEFECT, None),
    ]


def summary_of(stories: list[PartStory]) -> Summary:
    balance = Balance(len(stories), len(stories), len(stories), 0, {"expert": 5}, (), ())
    return summarise(balance, stories, 1.0, EXTRA)


def screen(summary: Summary, is_open: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=160)
    for part in shown(summary, is_open):
        console.print(part, soft_wrap=True)
    return out.getvalue()


def test_a_defect_that_passed_is_an_escape_and_nothing_else_is(picture: Path) -> None:
    figures = summary_of(five(picture)).as_json()
    assert figures["escaped_parts"] == ["slipped\n<b>"]
    assert figures["escapes"] == {"tear": {"expert": 1}}
    assert figures["confusion"]["tear"] == {"pass": 2, "hold": 1, "none": 1}


def test_the_last_screen_says_how_to_open_the_console_unless_it_is(picture: Path) -> None:
    found = summary_of(five(picture))
    assert screen(found).rstrip().endswith(".venv/bin/andon demo --console")
    assert "--console" not in screen(found, is_open=True)


def test_the_last_screen_names_what_escaped_and_where_every_part_is(picture: Path) -> None:
    said = screen(summary_of(five(picture)))
    assert "Defects that passed (1)" in said
    assert "slipped" in said
    assert "report.csv" in said
    assert "Defects that passed" not in screen(summary_of(five(picture)[:2]))


def test_many_escapes_do_not_fill_the_screen(picture: Path) -> None:
    stories = [story(picture, f"part-{i}", Severity.DEFECT, Action.PASS) for i in range(30)]
    said = screen(summary_of(stories))
    assert f"Defects that passed ({MOST_ESCAPED} of 30)" in said
    assert said.count("part-") == MOST_ESCAPED


def test_the_table_has_a_row_for_every_part(picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    write_parts(path, five(picture))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(r["part"], r["action"], r["escaped"]) for r in rows] == [
        ("fine", "pass", "no"),
        ("harmless", "pass", "no"),
        ("slipped\n<b>", "pass", "yes"),
        ("stopped", "hold", "no"),
        ("unheard", "none", "no"),
    ]
    assert "its own default" in rows[3]["reason"]
    assert rows[0]["score"] == "1.5"


def test_no_cell_of_the_table_is_a_formula(picture: Path, tmp_path: Path) -> None:
    """A class is called after a folder, which anybody may have named."""
    path = tmp_path / "report.csv"
    told = replace(story(picture, "=1+1", Severity.DEFECT, Action.PASS), true_label="@SUM(A1)")
    write_parts(path, [told])
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["part"], row["true_class"], row["score"]) == ("'=1+1", "'@SUM(A1)", "1.5")


def test_the_report_shows_escapes_and_what_did_not_pass(picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    stories = five(picture)
    write_report(path, summary_of(stories), stories, "T")
    html = path.read_text()
    assert "Defects that passed (1)" in html
    assert "Parts that did not pass (2)" in html
    assert html.count("<img ") == 3
    assert "slipped\n&lt;b&gt;" in html
    assert "slipped\n<b>" not in html


def test_both_shares_stand_on_the_screen_and_in_the_report(tmp_path: Path, picture: Path) -> None:
    figures = summary_of(five(picture)).as_json()
    assert figures["defects_that_pass"]["count"] == 1
    assert figures["defects_that_pass"]["of"] == 3
    assert figures["good_that_do_not_pass"]["count"] == 0
    stories = five(picture)
    untaught = Verdicts.of(s.verdict for s in stories)
    balance = Balance(5, 5, 5, 0, {"expert": 5}, (), ())
    summary = summarise(balance, stories, 1.0, EXTRA, {"untaught": untaught})
    path = tmp_path / "report.html"
    write_report(path, summary, stories, "parts")
    for said in (screen(summary), path.read_text()):
        assert "33.3% (1 of 3" in said
        assert "untaught" in said
