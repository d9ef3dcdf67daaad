"""Settings come from the environment, then ``.env``, then the TOML file; a wrong one is named."""

from pathlib import Path

import pytest

from andon.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings files, as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_environment_wins_over_env_file_and_toml(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = alone / "plant.toml"
    toml.write_text('[kafka]\nbootstrap_servers = "toml:1"\n[s3]\nbucket = "toml"\n[serve]\n')
    monkeypatch.setenv("ANDON_CONFIG", str(toml))
    assert Settings().kafka.bootstrap_servers == "toml:1"
    (alone / ".env").write_text("ANDON_KAFKA__BOOTSTRAP_SERVERS=file:1\nANDON_LOG_LEVEL=debug\n")
    assert Settings().kafka.bootstrap_servers == "file:1"
    monkeypatch.setenv("ANDON_KAFKA__BOOTSTRAP_SERVERS", "environment:1")
    settings = Settings()
    assert settings.kafka.bootstrap_servers == "environment:1"
    assert (settings.s3.bucket, settings.log_level) == ("toml", "debug")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANDON_KAFKA__REQUEST_TIMEOUT_S", "0"),
        ("ANDON_WORKER__BATCH", "many"),
        ("ANDON_GATEWAY__LINE", "a/b"),
        ("ANDON_S3__REGIN", "us-east-1"),
        ("ANDON_POSTGRES__TIMEOUT_S", "inf"),
    ],
)
def test_a_wrong_setting_is_named_as_the_environment_spells_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings.__wrapped__()


def test_a_secret_is_not_shown() -> None:
    assert "andon-local-only" not in repr(Settings())
