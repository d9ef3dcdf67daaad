"""What the commands over experts say of a new version."""

import json
from pathlib import Path

from andon.cli.experts import waiting_words
from serving.bundle_store import POINTER, open_folder
from serving.bundles import write_bundle


def test_a_new_version_waits_where_another_is_in_force(tmp_path: Path) -> None:
    first, second = (
        write_bundle(tmp_path, "tile", {"manifest.json": json.dumps({"n": n}).encode()}).name
        for n in range(2)
    )
    assert waiting_words(tmp_path, "tile", second) == ""
    open_folder(tmp_path).point("tile", first)
    assert f"`andon models use tile {second[:12]}`" in waiting_words(tmp_path, "tile", second)
    assert waiting_words(tmp_path, "tile", first) == ""
    (tmp_path / "tile" / POINTER).write_text("{")
    assert "damaged" in waiting_words(tmp_path, "tile", second)
