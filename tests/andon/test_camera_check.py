"""``andon camera check``."""

import json
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from andon.cli.camera import app
from andon.settings import load_settings
from lab.cameras.network import NetworkCamera
from tests.connectors.test_camera_normals import part, saved


def test_a_network_camera_is_measured_and_its_password_is_not_shown() -> None:
    with NetworkCamera(100, 0.01) as twin:
        source = f"opencv:{twin.stream}".replace("http://", "http://op:geheim@")
        result = CliRunner().invoke(app, ["check", source, "--captures", "3", "--json"])
    assert result.exit_code == 0, result.output
    assert "geheim" not in result.output
    found = json.loads(result.stdout)
    assert (found["captures"], found["failed"], found["exposed_by"]) == (3, 0, "arrival")
    assert found["frames_per_s"] > 0
    assert found["exposed_after_ms_min"] >= 0
    assert found["content_type"] == "image/jpeg"


def test_a_camera_that_fails_is_exit_code_1_with_the_reason() -> None:
    with NetworkCamera(0.001, 0) as twin:  # the same picture again and again
        source = f"snapshot:{twin.snapshot}"
        result = CliRunner().invoke(app, ["check", source, "--captures", "2", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["failed"] == 1
    assert "the same bytes as before" in found["why"]


@pytest.mark.parametrize("source", ["synthetic:seed=1,size=32"])
def test_a_source_that_is_asked_has_no_rate(source: str) -> None:
    result = CliRunner().invoke(app, ["check", source, "--captures", "2", "--json"])
    assert json.loads(result.stdout)["frames_per_s"] is None


def test_limits_are_measured_from_normals_and_named_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good").mkdir()
    saved(tmp_path / "good", 44)
    out = tmp_path / "limits" / "tile.json"
    result = CliRunner().invoke(app, ["normals", str(tmp_path), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["limits"]["pictures"] == 44
    assert found["trial"]["false_alarms"] == 0
    monkeypatch.setenv("ANDON_GATEWAY__CAMERA_NORMALS", json.dumps({"*": str(out)}))
    load_settings.cache_clear()
    checked = CliRunner().invoke(
        app, ["check", f"folder:{tmp_path / 'good'}", "--captures", "3", "--json"]
    )
    assert json.loads(checked.stdout)["failed"] == 0
    (tmp_path / "spoilt").mkdir()
    cv2.imwrite(str(tmp_path / "spoilt" / "a.png"), part(1, blur=3))
    spoilt = CliRunner().invoke(app, ["check", f"folder:{tmp_path / 'spoilt'}", "--json"])
    assert "out of focus against the product's normals" in json.loads(spoilt.stdout)["why"]
    monkeypatch.undo()
    load_settings.cache_clear()
