"""No mutation of settings makes anything but settings or an error that names the place."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest

from andon.settings import Settings, SettingsError, load_settings
from tests.fuzz.rounds import MOST_MIB, peak_mib, rounds
from tests.fuzz.settings import mutated

OURS = "ANDON_"


def tried(seed: int, folder: Path) -> bool:
    """Load one mutation as every process does; whether it is settings still."""
    toml, env, variables = mutated(seed)
    (folder / "andon.toml").write_bytes(toml)
    (folder / ".env").write_bytes(env)
    others = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    before = Path.cwd()
    os.chdir(folder)
    try:
        with patch.dict(os.environ, {**others, **variables}, clear=True):
            loaded = load_settings.__wrapped__()
    except SettingsError as error:
        said = str(error)
    else:
        assert isinstance(loaded, Settings), seed
        return True
    finally:
        os.chdir(before)
    assert said.startswith("settings: "), (seed, said[:200])
    assert ":pw@" not in said, (seed, said[:200])
    assert len(said) < 20_000, seed
    return False


def test_mutations_of_settings_are_settings_or_named(tmp_path: Path) -> None:
    whole = [tried(seed, tmp_path) for seed in range(rounds(120))]
    assert set(whole) == {True, False}


@pytest.mark.slow
def test_every_mutation_of_settings_is_settings_or_named(tmp_path: Path) -> None:
    held = peak_mib()
    whole = [tried(seed, tmp_path) for seed in range(rounds(2000))]
    assert set(whole) == {True, False}
    assert peak_mib() - held < MOST_MIB
