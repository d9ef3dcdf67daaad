"""A folder that two runs make at once: the quicker one's stays, and neither leaves a draft."""

from functools import partial
from pathlib import Path

import pytest

from infra.stack.server import make_folder


def fill(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "what").write_text(text)


def test_the_quicker_run_s_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "packages-1"

    def outrun(draft: Path) -> None:
        fill(draft, "late")
        make_folder(folder.with_name("other"), partial(fill, text="early"))
        (tmp_path / "other").rename(folder)

    make_folder(folder, outrun)
    assert (folder / "what").read_text() == "early"
    assert [path.name for path in tmp_path.iterdir()] == ["packages-1"]


def test_an_empty_folder_is_taken_and_a_failure_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    make_folder(tmp_path / "jars", partial(fill, text="made"))
    assert (tmp_path / "jars" / "what").read_text() == "made"

    def fail(draft: Path) -> None:
        fill(draft, "half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        make_folder(tmp_path / "broken", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["jars"]
