"""``andon deploy`` looks for what a file names before it changes anything."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli import deploy as command
from andon.settings import Settings
from infra.stack.process import free_port
from serving.errors import DeployError
from tests.serving.ray.tiny import save_tiny

SHIPPED = Path(__file__).parents[3] / "infra" / "serve.yaml"


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, products: str) -> Exception:
    file = tmp_path / "serve.yaml"
    text = SHIPPED.read_text().replace("products: latest", f"products: {products}")
    assert products in text
    file.write_text(text)
    own = {
        "paths": {"artifacts": str(tmp_path / "artifacts")},
        "serve": {"address": f"127.0.0.1:{free_port()}", "without_token": True},
    }
    monkeypatch.setattr(command, "load_settings", lambda: Settings.model_validate(own))
    done = CliRunner().invoke(command.app, [str(file)])
    assert done.exit_code == 1
    assert isinstance(done.exception, DeployError)
    return done.exception


def test_a_digest_that_is_not_in_the_store_is_refused_before_ray_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = "0" * 64
    said = str(run(tmp_path, monkeypatch, f"{{tile: {digest!r}}}"))
    assert "user_config of VisionExpert: tile 000000000000: not in the store" in said
    assert said.endswith("nothing was changed")


@pytest.mark.parametrize("what", ["digest", "latest"])
def test_what_is_there_goes_to_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    digest = save_tiny(tmp_path / "artifacts")
    named = f"{{tile: {digest}}}" if what == "digest" else "latest"
    assert "no Ray at 127.0.0.1" in str(run(tmp_path, monkeypatch, named))


def test_without_the_ray_s_token_nothing_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {
        "paths": {"artifacts": str(tmp_path), "exemplars": str(tmp_path)},
        "serve": {"token_file": str(tmp_path / "absent")},
    }
    monkeypatch.setattr(command, "load_settings", lambda: Settings.model_validate(own))
    done = CliRunner().invoke(command.app, [str(SHIPPED)])
    assert isinstance(done.exception, DeployError)
    assert "ANDON_SERVE__WITHOUT_TOKEN" in str(done.exception)
