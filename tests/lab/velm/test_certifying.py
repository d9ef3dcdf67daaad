"""The promise of a certificate on the released answers, and the command that prints it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from lab.velm.certifying import watch_halves
from lab.velm.predictions import our_matching, read_answers
from policies.review.certify import Promise

runner = CliRunner()


@pytest.mark.parametrize(("escape", "passing"), [(0.05, 0.4), (0.10, 0.7)])
def test_the_released_answers_keep_the_promise(shared: Path, escape: float, passing: float) -> None:
    velm = shared / "velm"
    pairs = read_answers(
        velm / "mvtec_ac_preds_gpt_4o.json", velm / "mvtec_ac_des.json", our_matching
    )
    kept = watch_halves(pairs, Promise(escape), splits=60, seed=1)
    assert kept.certified.exceeded <= 0.05
    assert kept.certified.negligible_passing >= passing
    assert kept.raw.exceeded > kept.certified.exceeded
    assert kept.raw.negligible_passing > kept.certified.negligible_passing


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """One object of three classes; every fifth defect of one class is called by the third."""
    answers = {}
    for number in range(600):
        folder = ("crack", "hole", "dust")[number % 3]
        answers[f"disc_{folder}_{number:03}"] = "dust" if number % 15 == 0 else folder
    (tmp_path / "p.json").write_text(json.dumps(answers), encoding="utf-8")
    described = {name: [name, f"looks like {name}"] for name in ("crack", "hole", "dust")}
    (tmp_path / "d.json").write_text(json.dumps({"disc": described}), encoding="utf-8")
    return [str(tmp_path / "p.json"), "--descriptions", str(tmp_path / "d.json")]


def test_the_command_prints_both_ways_of_passing(files: list[str]) -> None:
    arguments = ["evaluate", "certify", *files, "--splits", "20", "--escape", "0.1", "--json"]
    result = runner.invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    (kept,) = json.loads(result.stdout)
    assert kept["escape"] == 0.1
    assert kept["splits"] == 20
    assert kept["certified"]["exceeded"] == 0.0
    assert kept["raw"]["escapes"] > 0.0
    shown = runner.invoke(app, arguments[:-1], catch_exceptions=False)
    assert "negligible parts that pass" in shown.stdout


def test_a_promise_of_nothing_is_a_mistake_of_the_caller(files: list[str]) -> None:
    result = runner.invoke(app, ["evaluate", "certify", *files, "--escape", "1.5"])
    assert result.exit_code == 2
    assert "escape is 1.5" in result.output
