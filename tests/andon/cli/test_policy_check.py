"""``andon policy`` refuses words that the language model's prompt cannot hold apart."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli.policy import app

POLICY = """\
product: bracket
normal: {{description: an even grey surface}}
strategy: look at the shape
classes:
  crack: {{severity: defect, action: scrap, display_name: "{first}", description: a line}}
  pore: {{severity: defect, action: scrap, display_name: "{second}", description: a spot}}
"""
runner = CliRunner()


def write(folder: Path, first: str, second: str) -> str:
    path = folder / "bracket.yaml"
    path.write_text(POLICY.format(first=first, second=second), "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("Hole", "hole.", "both read as 'hole.'"),
        ("gas  pore", "\uff27as pore", "both read as"),
        ("crack", "Normal!", "reserved"),
    ],
)
def test_names_that_an_answer_could_confuse_are_refused(
    tmp_path: Path, first: str, second: str, said: str
) -> None:
    path = write(tmp_path, first, second)
    done = runner.invoke(app, ["validate", path, "--json"])
    assert done.exit_code == 1
    (report,) = json.loads(done.stdout)
    (problem,) = report["errors"]
    assert (report["ok"], report["policy_hash"], problem["code"]) == (False, None, "E401")
    assert said in problem["reason"]


def test_it_is_not_applied_either(tmp_path: Path) -> None:
    done = runner.invoke(
        app, ["apply", write(tmp_path, "hole", "Hole"), "--yes", "--reason", "a test"]
    )
    assert done.exit_code == 1
    assert "E401" in done.stdout
    assert "in force" not in done.stdout
    done = runner.invoke(
        app, ["apply", write(tmp_path, "hole", "Hole"), "--yes", "--json", "--reason", "a test"]
    )
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["applied"], said["report"]["errors"][0]["code"]) == (False, "E401")


def test_names_that_differ_are_taken(tmp_path: Path) -> None:
    done = runner.invoke(app, ["validate", write(tmp_path, "crack", "gas pore"), "--json"])
    assert done.exit_code == 0, done.stdout
    assert json.loads(done.stdout)[0]["ok"]
