"""``andon product new`` with a folder in which some pictures cannot be used."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli.product import app
from andon.products.running import Workshop
from andon.settings import load_settings
from console.product_drafts import DraftError
from tests.serving.experts.pictures import surface, write


def test_all_pictures_that_are_not_taken_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one ended the command, with some of the folder in the draft and no word of it."""
    monkeypatch.setenv("ANDON_PATHS__STATE", str(tmp_path / "state"))
    load_settings.cache_clear()
    paths = write(tmp_path / "good", [surface(n) for n in range(4)])
    paths[0].write_bytes(b"")
    paths[2].write_bytes(b"hello")
    done = CliRunner().invoke(app, ["new", "tile", "--images", str(tmp_path / "good")])
    load_settings.cache_clear()
    assert isinstance(done.exception, DraftError)
    said = str(done.exception)
    assert said.startswith("2 of 4 pictures were not taken; take them out, or copy them anew")
    assert "000.png: the image is empty" in said
    assert "002.png: not an image" in said
    assert "2 of 4 pictures are new to the draft" in done.stderr
    (draft,) = Workshop(tmp_path / "state" / "products").list()
    assert len(draft.normals) == 2
