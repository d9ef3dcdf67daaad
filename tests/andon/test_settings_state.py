"""Where a host keeps what must survive a restart: in one folder, unless a setting moves it."""

import os
from pathlib import Path

import pytest

from andon.settings import PathSettings, Settings

FOLDERS = ("journal", "spool", "pki")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without settings files, as the current one; no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ANDON_")]:
        monkeypatch.delenv(name)


def kept(settings: Settings) -> list[str]:
    own = settings.gateway
    return [path.as_posix() for path in (own.journal_dir, own.spool_dir, own.pki_dir)]


def test_what_a_gateway_keeps_is_in_the_folder_of_the_hosts_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert kept(Settings()) == [f".andon/state/{name}" for name in FOLDERS]
    monkeypatch.setenv("ANDON_PATHS__STATE", "/var/lib/andon")
    assert kept(Settings()) == [f"/var/lib/andon/{name}" for name in FOLDERS]


def test_the_file_of_settings_moves_it_too(tmp_path: Path) -> None:
    (tmp_path / "andon.toml").write_text('[paths]\nstate = "/srv/andon"\n', "utf-8")
    assert kept(Settings()) == [f"/srv/andon/{name}" for name in FOLDERS]


def test_a_folder_of_its_own_stays_and_so_does_the_rest_of_the_section(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANDON_PATHS__STATE", "/var/lib/andon")
    monkeypatch.setenv("ANDON_GATEWAY__JOURNAL_DIR", "/fast/journal")
    monkeypatch.setenv("ANDON_GATEWAY__LINE", "L7")
    settings = Settings()
    assert kept(settings) == ["/fast/journal", "/var/lib/andon/spool", "/var/lib/andon/pki"]
    assert settings.gateway.line == "L7"


def test_a_state_that_is_given_in_code_counts_as_well() -> None:
    settings = Settings(paths=PathSettings(state=Path("/here")))
    assert kept(settings) == [f"/here/{name}" for name in FOLDERS]
