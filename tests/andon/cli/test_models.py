"""``andon models list``: the store alone is needed, and what cannot be known is said."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli import models
from andon.cli.models import _row, app
from andon.learning.versions import describe_version
from andon.settings import load_settings
from history.console_audit import Deed
from infra.stack.process import free_port
from serving.bundle_store import SHADOW, open_folder
from streams.errors import UnavailableError
from tests.serving.ray.tiny import save_tiny

runner = CliRunner()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the settings; neither database nor Serve."""
    monkeypatch.setenv("ANDON_PATHS__ARTIFACTS", str(tmp_path / "experts"))
    monkeypatch.setenv("ANDON_PATHS__EXEMPLARS", str(tmp_path / "exemplars"))
    monkeypatch.setenv("ANDON_SERVE__INGRESS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv(
        "ANDON_POSTGRES__URL", f"postgresql+asyncpg://postgres@127.0.0.1:{free_port()}/andon"
    )
    load_settings.cache_clear()
    yield tmp_path / "experts"
    load_settings.cache_clear()


def test_versions_are_listed_without_database_and_serve(store: Path) -> None:
    digests = [save_tiny(store, "tile", note=note) for note in ("one", "two", "three")]
    pointers = open_folder(store)
    pointers.point("tile", digests[0])
    pointers.point("tile", digests[1], SHADOW)
    done = runner.invoke(app, ["list", "--json"])
    assert done.exit_code == 0, done.output
    found = {version["digest"]: version for version in json.loads(done.stdout)}
    assert set(found) == set(digests)
    assert [found[d]["in_force"] for d in digests] == [True, False, False]
    assert [found[d]["shadow"] for d in digests] == [False, True, False]
    assert "who put what in force" in done.stderr
    assert "what the replicas hold" in done.stderr


def test_the_table_counts_what_a_version_was_taught() -> None:
    taught = {"classes": {"crack": {"photographs": 5, "parts": 4}, "[pit]": {"photographs": 1}}}
    manifest: dict[str, object] = {"expert": "patchcore", "trained": {"taught": taught}}
    version = describe_version("tile", "ab" * 32, 0.0, manifest, None, (None, None), (), ())
    assert "crack 5, \\[pit] 1" in _row(version)


def test_a_version_that_is_not_there_is_refused_before_anything(store: Path) -> None:
    digest = save_tiny(store, "tile")
    done = runner.invoke(app, ["use", "tile", "0000", "--reason", "a test"])
    assert done.exit_code == 1
    assert "andon models list" in str(done.exception)
    assert open_folder(store).pointed("tile") is None
    unreachable = runner.invoke(app, ["use", "tile", digest[:8], "--reason", "a test"])
    assert unreachable.exit_code == 1
    assert open_folder(store).pointed("tile") is None


def test_a_shadow_is_another_version_than_the_one_in_force(store: Path) -> None:
    """Replicas score no version beside itself; the command said that it was in the shadow."""
    one, two = (save_tiny(store, "tile", note=note) for note in "12")
    pointers = open_folder(store)
    pointers.point("tile", one)
    for words, said in ((["tile", one[:9]], "is in force"), (["tile", two, "--stop"], "not both")):
        done = runner.invoke(app, ["shadow", *words])
        assert done.exit_code != 0
        assert said in (done.stderr or str(done.exception)) + str(done.exception)
        assert pointers.pointed("tile", SHADOW) is None
    runner.invoke(app, ["shadow", "tile", two])  # what it said so far is asked of the database
    assert pointers.pointed("tile", SHADOW) == two
    runner.invoke(app, ["shadow", "tile", "--stop"])
    assert pointers.pointed("tile", SHADOW) is None


def test_one_product_s_damage_hides_no_other_product(store: Path) -> None:
    """A damaged pointer, an altered manifest and a note that is none failed the whole listing."""
    good, noted = (save_tiny(store, "tile", note=note) for note in ("one", "two"))
    cloth, altered = (save_tiny(store, "cloth", note=note) for note in ("one", "two"))
    stores = open_folder(store)
    stores.point("tile", good)
    stores.put_note("tile", noted, b"[]")
    for name in ("latest.json", SHADOW):
        (store / "cloth" / name).write_text("")
    (store / "cloth" / altered / "manifest.json").write_text("{}")
    done = runner.invoke(app, ["list", "--json"])
    assert done.exit_code == 0, done.output
    listed = {version["digest"]: version["in_force"] for version in json.loads(done.stdout)}
    assert listed == {good: True, noted: False, cloth: False}
    for words in ("cloth/latest.json is damaged", f"cloth/{SHADOW} is damaged", "was altered"):
        assert words in done.stderr
    assert f"tile {noted[:12]}: what was noted of it cannot be read" in done.stderr


def test_who_puts_a_version_in_force_says_why_and_is_in_the_audit_first(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = save_tiny(store, "tile")
    told: list[tuple[str, str, str, str, str, str]] = []

    async def write(deed: Deed) -> None:
        told.append((deed.action, deed.object, deed.actor, deed.login, deed.after[:4], deed.reason))
        raise UnavailableError("the database is away")

    monkeypatch.setattr(models, "_write", write)
    for given in ((), ("--reason", " ")):
        done = runner.invoke(app, ["use", "tile", digest[:8], *given])
        assert (done.exit_code, "say why" in done.output) == (2, True)
    for asked in (["use", "tile", digest[:8], "--reason", " more cracks "], ["rollback", "tile"]):
        done = runner.invoke(app, [*asked, "--by", "ada"])
        assert isinstance(done.exception, UnavailableError)
    assert told == [
        ("model.use", "tile", "ada", "declared", digest[:4], "more cracks"),
        ("model.rollback", "tile", "ada", "declared", "", "rollback"),
    ]
    assert open_folder(store).pointed("tile") is None, "nothing changes without its row"
