"""What pages load is committed, known by its hash, small, and of this host alone."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

import console
from console.assets import FOLDER, KINDS, asset
from tests.console.make import app_of, client_of

MOST_GZ = 120 * 1024
"""All that a page loads besides its pictures, in bytes over the wire."""
WITH_EDITOR_GZ = 300 * 1024
"""The same on a page with the policy editor."""
FOREIGN = {"htmx.min.js", "editor.js"}


def test_foreign_files_are_as_published() -> None:
    listed = dict(
        re.findall(
            r"^\| `([\w.]+)` .* `([0-9a-f]{64})` \|$", (FOLDER / "LICENSES.md").read_text(), re.M
        )
    )
    assert listed.keys() == FOREIGN
    for name, expected in listed.items():
        assert hashlib.sha256(asset(name)).hexdigest() == expected


def test_every_file_is_served_and_light() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"LICENSES.md"}
    assert files == set(KINDS)
    sizes = {name: len(gzip.compress(asset(name))) for name in KINDS}
    assert sum(sizes.values()) < WITH_EDITOR_GZ
    assert sum(size for name, size in sizes.items() if name != "editor.js") < MOST_GZ


def test_nothing_names_another_host_or_stands_in_the_page() -> None:
    pages = list(Path(console.__file__).parent.rglob("*.html"))
    assert set(re.findall(r"https?://[^\"'`\s)]+", asset("editor.js").decode())) == {
        "http://www.w3.org/2000/svg"  # a namespace
    }
    own = [FOLDER / name for name in KINDS if name not in FOREIGN | {"icon.svg"}]
    for path in (*pages, *own):
        text = path.read_text("utf-8")
        assert not re.search(r"https?://|@import|\burl\(", text), path
    for path in pages:
        text = path.read_text("utf-8")
        assert not re.search(
            r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]* src=)|javascript:", text
        ), path


@pytest.mark.asyncio
async def test_a_file_that_is_not_listed_is_not_served() -> None:
    async with client_of(app_of(), None) as client:
        assert (await client.get("/static/console.css")).status_code == 200
        for name in ("LICENSES.md", "..%2fapp.py", "nothing.js"):
            assert (await client.get(f"/static/{name}")).status_code == 404
