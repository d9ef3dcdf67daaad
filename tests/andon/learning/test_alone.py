"""One person alone puts no other version in force where the plant asks for two."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli import models
from andon.cli.taught_experts import hold_exemplars
from andon.learning import alone
from andon.learning.alone import hold_where_asked, refuse_alone
from andon.learning.changing import open_stores
from andon.learning.in_force import Wish
from andon.settings import Settings, load_settings
from console.second_person import SecondPerson
from history.console_audit import Deed
from policies.errors import SecondPersonError
from serving.bundle_store import open_folder
from streams.errors import UnavailableError
from tests.serving.ray.tiny import save_tiny


@pytest.fixture(params=[when.value for when in SecondPerson])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("ANDON_CONSOLE__SECOND_PERSON", request.param)
    for name in ("artifacts", "exemplars"):
        monkeypatch.setenv(f"ANDON_PATHS__{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("ANDON_POSTGRES__URL", "postgresql://nobody@127.0.0.1:9/none")
    load_settings.cache_clear()
    yield load_settings()
    load_settings.cache_clear()


def is_asked(settings: Settings) -> bool:
    return settings.console.second_person == "always"


def test_a_prompt_puts_no_other_version_in_force(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    async def write(deed: Deed) -> None:
        written.append(deed.after)
        raise UnavailableError("the database is away")

    async def back(settings: Settings, product: str, by: str, reason: str) -> Wish:
        return Wish(product, two, None, by, reason)

    monkeypatch.setattr(models, "_write", write)
    monkeypatch.setattr(alone, "wish_back", back)
    root = Path(settings.paths.artifacts)
    one, two = (save_tiny(root, "tile", note=note) for note in "12")
    names = save_tiny(Path(settings.paths.exemplars), "tile", note="names")
    for digest in (one, two):  # the exemplars that belong to it are not asked of the database
        open_folder(root).put_note("tile", digest, b'{"base": "0"}')
    open_folder(root).point("tile", one)
    open_folder(Path(settings.paths.exemplars)).point("tile", None)
    asked = {
        "another": (["use", "tile", two], True),
        "other exemplars": (["use", "tile", one, "--exemplars", names[:9]], True),
        "back": (["rollback", "tile"], True),
        "in force already": (["use", "tile", one], False),
    }
    for what, (words, is_change) in asked.items():
        done = CliRunner().invoke(models.app, [*words, "--reason", "a try"])
        kind = SecondPersonError if is_change and is_asked(settings) else UnavailableError
        assert isinstance(done.exception, kind), what
        if kind is SecondPersonError:
            assert "page Models" in str(done.exception)
    assert len(written) == (1 if is_asked(settings) else 4)


@pytest.mark.asyncio
async def test_a_damaged_pointer_is_no_way_around_it(settings: Settings) -> None:
    root = Path(settings.paths.artifacts)
    digest = save_tiny(root, "tile")
    (root / "tile" / "latest.json").write_text("")
    wish = Wish("tile", digest, None, "ada", "a try")
    if is_asked(settings):
        with pytest.raises(SecondPersonError):
            await refuse_alone(settings, open_stores(settings), wish)
    else:
        await refuse_alone(settings, open_stores(settings), wish)


def test_what_is_trained_or_taught_next_waits(settings: Settings) -> None:
    """A product without a pointer takes what was written last: training alone changed the line."""
    root, taught = Path(settings.paths.artifacts), Path(settings.paths.exemplars)
    experts, exemplars = open_folder(root), open_folder(taught)
    taught.mkdir()
    hold_where_asked(settings, experts, "tile")
    first = save_tiny(root, "tile", note="1")
    assert experts.in_force("tile") == first, "the first version of a product needs nobody"
    hold_where_asked(settings, experts, "tile")
    second = save_tiny(root, "tile", note="2")
    assert experts.in_force("tile") == (first if is_asked(settings) else second)
    hold_exemplars(taught, "tile")
    bundle = save_tiny(taught, "tile", note="3")
    assert exemplars.in_force("tile") == (None if is_asked(settings) else bundle)
