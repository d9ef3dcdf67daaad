"""Each picture of the dashboards has data after a demo, at a real Prometheus."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.stack.prometheus_local import prometheus_available
from lab.demo.watch import questions

ROOT = Path(__file__).parents[2]
DEMO = ("demo", "--parts", "30", "--takt", "0.5", "--window", "15", "--classifier", "cascade")


def test_what_is_asked_is_what_grafana_is_given() -> None:
    asked = []
    for path in sorted((ROOT / "infra/grafana").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            asked += [(panel["title"], target["expr"]) for target in panel["targets"]]
    shown = [(one.panel, one.expr) for one in questions()]
    assert sorted(shown) == sorted((title, expr.replace("$line", ".*")) for title, expr in asked)
    assert len(asked) > 40


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_picture_is_empty_after_a_demo(scratch: Path) -> None:
    """The metrics of a line that really played; the cascade asks a language model."""
    if lacking := prometheus_available():
        pytest.skip(lacking)
    command = [sys.executable, "-m", "andon", *DEMO, "--set", "prometheus=true", "--json"]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    watched = json.loads(done.stdout)["dashboards"]
    assert watched["unanswered"] == []
    assert watched["asked"] == len(list(questions()))
