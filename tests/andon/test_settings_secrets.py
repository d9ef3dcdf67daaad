"""Secrets may stand in files that a variable or the TOML file names; nothing shows them."""

import os
from pathlib import Path

import pytest

from andon.settings import Settings, SettingsError, load_settings
from andon.settings_secrets import LONGEST, files_of

SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ANDON_")]:
        monkeypatch.delenv(name)
    return tmp_path


def load() -> Settings:
    return load_settings.__wrapped__()


def test_every_secret_setting_has_its_file() -> None:
    known = files_of(Settings)
    for name in ("GATEWAY__PASSWORD", "POSTGRES__URL", "S3__ACCESS_KEY", "S3__SECRET_KEY"):
        assert f"ANDON_{name}_FILE" in known
    assert not [name for name in known if "TOKEN_FILE" in name]


@pytest.mark.parametrize("written", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n", f"\ufeff{SECRET}\n"])
@pytest.mark.parametrize("place", ["environment", ".env", "toml"])
def test_a_file_holds_the_secret(
    alone: Path, monkeypatch: pytest.MonkeyPatch, written: str, place: str
) -> None:
    (alone / "key").write_text(written, encoding="utf-8", newline="")
    if place == "environment":
        monkeypatch.setenv("ANDON_S3__SECRET_KEY_FILE", str(alone / "key"))
    elif place == ".env":
        (alone / ".env").write_text("ANDON_S3__SECRET_KEY_FILE=key\n")
    else:
        (alone / "andon.toml").write_text('[s3]\nsecret_key_file = "key"\n')
    settings = load()
    assert settings.s3.secret_key.get_secret_value() == SECRET
    assert SECRET not in repr(settings)


def test_the_environment_s_file_wins_over_the_toml_s_secret(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone / "key").write_text(SECRET)
    (alone / "andon.toml").write_text('[s3]\nsecret_key = "other"\n')
    monkeypatch.setenv("ANDON_S3__SECRET_KEY_FILE", "key")
    assert load().s3.secret_key.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "ANDON_S3__SECRET_KEY_FILE names key, which cannot be read: No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe\xff", "is no text"),
        (b"x" * (LONGEST + 1), "is too long"),
    ],
)
def test_a_file_that_holds_none_is_named(
    alone: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, words: str
) -> None:
    if content is not None:
        (alone / "key").write_bytes(content)
    monkeypatch.setenv("ANDON_S3__SECRET_KEY_FILE", "key")
    with pytest.raises(SettingsError, match=words):
        load()


def test_a_secret_that_is_named_twice_is_a_mistake(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone / "key").write_text(SECRET)
    monkeypatch.setenv("ANDON_S3__SECRET_KEY_FILE", "key")
    monkeypatch.setenv("ANDON_S3__SECRET_KEY", "another")
    with pytest.raises(SettingsError, match="both set") as raised:
        load()
    assert "another" not in str(raised.value)
    monkeypatch.delenv("ANDON_S3__SECRET_KEY_FILE")
    monkeypatch.delenv("ANDON_S3__SECRET_KEY")
    (alone / "andon.toml").write_text('[s3]\nsecret_key_file = "key"\nsecret_key = "another"\n')
    with pytest.raises(SettingsError, match="both stand in a table"):
        load()


def test_a_file_of_what_is_no_secret_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_S3__BUCKET_FILE", "key")
    with pytest.raises(SettingsError, match="is no setting"):
        load()
