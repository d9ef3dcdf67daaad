"""``andon llm`` as it is typed."""

import json

import pytest
from typer.testing import CliRunner

from andon.cli.llm import LlmCommandError, app
from andon.settings import load_settings
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer

runner = CliRunner()


@pytest.fixture
def configured(server: TwinServer, monkeypatch: pytest.MonkeyPatch) -> TwinServer:
    endpoint = {"name": "twin", "base_url": server.base_url, "model": "twin", "zone": "loopback"}
    monkeypatch.setenv("ANDON_CLASSIFIER__ENDPOINTS", json.dumps([endpoint]))
    monkeypatch.setattr("andon.settings.load_settings", load_settings.__wrapped__)
    return server


def test_check_says_what_came_back(configured: TwinServer) -> None:
    done = runner.invoke(app, ["check", "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["ok"]
    assert row["class"] == "line"
    assert row["tokens_in"] > 700


def test_check_fails_for_an_answer_that_cannot_be_used(configured: TwinServer) -> None:
    configured.twin.behaviour = Behaviour(rubbish="refusal")
    done = runner.invoke(app, ["check"])
    assert done.exit_code == 1
    assert "twin: FAILED: the answer cannot be used: refused" in done.stdout


def test_check_without_endpoints_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANDON_CLASSIFIER__ENDPOINTS", raising=False)
    monkeypatch.setattr("andon.settings.load_settings", load_settings.__wrapped__)
    done = runner.invoke(app, ["check"])
    assert isinstance(done.exception, LlmCommandError)
    assert "set ANDON_CLASSIFIER__ENDPOINTS" in str(done.exception)


def test_a_wrong_kind_of_rubbish_is_bad_usage() -> None:
    done = runner.invoke(app, ["twin", "--port", "0", "--rubbish", "nonsense"])
    assert done.exit_code == 2


def test_the_twin_in_a_process_of_its_own() -> None:
    from lab.benchmarks.llm import measure_llm_load

    load = measure_llm_load(parts=4, latency_ms=1, concurrency=2)
    assert (load.answered, load.calls, load.rejected) == (4, 4, 0)
    assert load.most_in_flight <= 2
    assert load.twin_cpu_ms_per_part > 0
