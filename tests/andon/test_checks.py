"""``andon doctor`` finds what is there, and names a remedy for what is not."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.checks import examine
from andon.cli.doctor import app
from andon.settings import Settings
from infra.stack.process import free_port


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    """Settings that point at ports where nothing listens."""
    port = free_port()
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": f"127.0.0.1:{port}"},
            "postgres": {"url": f"postgresql+asyncpg://postgres@127.0.0.1:{port}/andon"},
            "s3": {"endpoint": f"127.0.0.1:{port}", "timeout_s": 2.0},
            "serve": {"address": f"127.0.0.1:{port}", "ingress": f"127.0.0.1:{port}"},
            "gateway": {"plc_url": f"opc.tcp://127.0.0.1:{port}", "camera": "synthetic:seed=1"},
            "paths": {"state": tmp_path / "state", "policies": tmp_path},
        }
    )


def test_what_does_not_answer_fails_with_a_remedy(nowhere: Settings) -> None:
    names = ["kafka", "postgres", "s3", "ray", "serve", "plc", "policies"]
    found = asyncio.run(examine(nowhere, names))
    assert [finding.name for finding in found] == names
    for finding in found:
        assert not finding.ok
        assert finding.remedy
        assert finding.detail


def test_what_is_there_is_found(nowhere: Settings) -> None:
    state, camera = asyncio.run(examine(nowhere, ["state", "camera"]))
    assert (state.ok, camera.ok) == (True, True)
    assert "MiB free" in state.detail
    assert camera.detail == "synthetic:seed=1"


def test_the_command_names_the_checks_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["kafak"])
    assert done.exit_code == 2
    monkeypatch.setenv("ANDON_GATEWAY__CAMERA", "synthetic:seed=1")
    done = CliRunner().invoke(app, ["camera", "--json"])
    assert done.exit_code == 0
    assert [finding["name"] for finding in json.loads(done.stdout)] == ["camera"]
