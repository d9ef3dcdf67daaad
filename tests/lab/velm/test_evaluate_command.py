"""``andon evaluate pipeline`` and ``ablation`` as a user runs them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from streams.errors import AndonError
from tests.lab.velm.mini import mini_descriptions, mini_mvtec

runner = CliRunner()


@pytest.fixture
def plates(tmp_path: Path) -> list[str]:
    """Two objects; the arguments that every call shares."""
    mini_mvtec(tmp_path / "data", "plate", each=2)
    mini_mvtec(tmp_path / "data", "disc", each=2)
    words = mini_descriptions(tmp_path / "d.json", ("plate", "disc"))
    shared = [str(tmp_path / "data"), "--descriptions", str(words), "--regions", "oracle"]
    return [*shared, "--set", f"cache={tmp_path / 'cache'}", "--out", str(tmp_path / "out")]


def evaluate(*words: str) -> Any:
    return runner.invoke(app, ["evaluate", *words], catch_exceptions=False)


def test_json_has_the_figures_and_the_files_score_the_same(plates: list[str]) -> None:
    asked = ("--classifier", "velm", "--protocol", "velm", "--twin", "--json")
    result = evaluate("pipeline", *plates, *asked)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert set(found["objects"]) == {"disc", "plate"}
    assert found["options"]["protocol"] == "velm"
    assert found["spent"]["in_this_run"]["calls"] == 8
    files = found["files"]
    scored = evaluate(
        "predictions", files["predictions"], "--descriptions", files["descriptions"], "--json"
    )
    assert json.loads(scored.stdout)["mean"] == found["mean"]
    again = json.loads(evaluate("pipeline", *plates, *asked).stdout)
    assert again["spent"]["in_this_run"]["calls"] == 0
    assert again["mean"] == found["mean"]


def test_people_read_figures_plan_and_files(plates: list[str]) -> None:
    result = evaluate(
        "pipeline", *plates, "--classifier", "velm", "--protocol", "velm", "--twin",
        "--set", "objects=plate",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "at most 4 calls of twin" in result.stderr
    for text in ("plate", "interval", "escapes:", "llm ms per token", "predictions.json"):
        assert text in result.stdout


def test_above_the_limit_nothing_is_asked_without_leave(plates: list[str]) -> None:
    dear = ("--classifier", "velm", "--protocol", "velm", "--twin", "--set", "price-in=9000")
    with pytest.raises(AndonError, match=r"more than max-cost 1: nothing was asked; --yes"):
        evaluate("pipeline", *plates, *dear)
    assert evaluate("pipeline", *plates, *dear, "--yes", "--json").exit_code == 0


def test_an_unknown_price_of_an_external_endpoint_needs_leave(plates: list[str]) -> None:
    outside = ("--endpoint", "https://llm.invalid/v1", "--model", "m", "--set", "egress=full")
    with pytest.raises(AndonError, match="the cost is not known: nothing was asked"):
        evaluate("pipeline", *plates, "--classifier", "velm", "--protocol", "velm", *outside)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--twin", "--endpoint", "x"), "--twin excludes"),
        (("--endpoint", "http://127.0.0.1:9/v1"), "needs --model"),
        (("--endpoint", "http://far.example/v1", "--model", "m"), "must be https"),
        (("--endpoint", "nobody"), "no endpoint 'nobody'"),
        (("--twin", "--set", "objects=cup"), "no object 'cup'"),
        ((), "needs an endpoint: --twin"),
    ],
)
def test_what_cannot_be_done_says_so(
    plates: list[str], words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(AndonError, match=message):
        evaluate("pipeline", *plates, "--classifier", "velm", *words)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("limit", "is not of the form name=value"),
        ("limmit=3", "no option 'limmit'; there are benchmark, rules,"),
        ("limit=0", "limit: Input should be greater than or equal to 1"),
        ("false-alarm-rate=.7", "false-alarm-rate: Input should be less than or equal to 0.5"),
    ],
)
def test_an_option_of_set_is_checked_by_name_and_value(
    plates: list[str], given: str, message: str
) -> None:
    result = evaluate("pipeline", *plates, "--set", given)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_ablation_prints_the_papers_columns(plates: list[str]) -> None:
    result = evaluate(
        "ablation", *plates, "--protocol", "velm", "--twin", "--parts", "vp,AD", "--json"
    )
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert set(found["accuracy"]["mean"]) == {"full", "VP", "AD"}
    assert set(found["difference"]) == {"VP", "AD"}
    table = evaluate("ablation", *plates, "--protocol", "velm", "--twin", "--parts", "AD")
    assert "w/o AD" in table.stdout
