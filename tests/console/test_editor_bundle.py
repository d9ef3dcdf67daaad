"""The committed editor is what its source and its locked packages give; licences are told."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import console
from console.assets import FOLDER, asset

SOURCE = Path(console.__file__).parent / "editor"
_OFFLINE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|E403|network", re.IGNORECASE)


def locked() -> dict[str, str]:
    found = json.loads((SOURCE / "package-lock.json").read_text("utf-8"))["packages"]
    names = {path.removeprefix("node_modules/"): entry for path, entry in found.items() if path}
    return {name: entry["version"] for name, entry in names.items()}


def test_the_lock_names_no_host() -> None:
    assert "://" not in (SOURCE / "package-lock.json").read_text("utf-8")


def test_every_licence_is_told_with_the_locked_version() -> None:
    text = (FOLDER / "LICENSES.md").read_text("utf-8")
    told = dict(re.findall(r"^\| (@?[\w/.-]+) \| ([\d.]+) \| ", text, re.MULTILINE))
    versions = locked()
    assert told == {name: versions[name] for name in told}
    assert told.keys() >= json.loads((SOURCE / "package.json").read_text())["dependencies"].keys()


@pytest.mark.slow
def test_building_it_again_gives_the_same_bytes(tmp_path: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node on this machine to build the editor with")
    copy = tmp_path / "editor"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("node_modules"))
    fetched = subprocess.run(["npm", "ci"], cwd=copy, capture_output=True, text=True, check=False)
    if fetched.returncode and _OFFLINE.search(fetched.stderr):
        pytest.skip("no package registry answers here to build the editor from")
    assert fetched.returncode == 0, fetched.stderr
    made = tmp_path / "made.js"
    subprocess.run(["node", "build.mjs", str(made)], cwd=copy, check=True, capture_output=True)
    assert made.read_bytes() == asset("editor.js")
