"""Which build runs: the version stands everywhere alike, and a wheel says its commit."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.version import Version
from typer.testing import CliRunner

from andon import __version__
from andon.__main__ import app
from andon.build import COMMIT_FILE, build

ROOT = Path(__file__).parents[2]
VERSION = Version(__version__)


def test_the_version_is_said_alike_and_has_its_changes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__ == str(VERSION)
    changes = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if VERSION.is_prerelease:
        assert changes[0] == "Unreleased"
        assert Version(changes[1]) < VERSION
    else:
        assert __version__ in changes[:2]


def test_what_a_plant_installs_names_the_version() -> None:
    chart = yaml.safe_load((ROOT / "infra/chart/Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert chart["version"].replace("-dev.", ".dev") == __version__
    for name in ("infra/compose/compose.yaml", "infra/image/Dockerfile", "docs/install.md"):
        named = re.findall(r"\bandon[:-](\d[\w.]*\w)", (ROOT / name).read_text())
        assert {one.removesuffix(".tar") for one in named} == {__version__}, name


def test_a_commit_stands_beside_the_version(tmp_path: Path) -> None:
    (tmp_path / COMMIT_FILE).write_text("0123456789.changed\n")
    said = build(tmp_path)
    assert Version(said).public == __version__
    assert Version(said).local == "g0123456789.changed"


def test_the_command_says_its_build() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{build()}\n"


def git(folder: Path, *words: str) -> str:
    own = {"GIT_AUTHOR_NAME": "A", "GIT_COMMITTER_NAME": "A", "GIT_CONFIG_GLOBAL": os.devnull}
    mail = {"GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_EMAIL": "a@example.org"}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | own | mail,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with what a wheel is built from, at its least."""
    folder = tmp_path / "checkout"
    (folder / "andon").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "andon"\nversion = "{__version__}"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["andon"]\n'
        "[tool.hatch.build.targets.wheel.hooks.custom]\n"
    )
    for name in ("hatch_build.py", "andon/__init__.py", "andon/build.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".gitignore").write_text("dist/\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "First.")
    return folder


def built(checkout: Path, **more: str) -> str:
    """What the wheel says that is built from the checkout."""
    shutil.rmtree(checkout / "dist", ignore_errors=True)
    make = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run(make, cwd=checkout, capture_output=True, text=True, env=os.environ | more)
    assert done.returncode == 0, done.stderr
    assert [path.suffix for path in (checkout / "dist").iterdir()] == [".whl"]
    (wheel,) = (checkout / "dist").iterdir()
    into = checkout.parent / "installed"
    shutil.rmtree(into, ignore_errors=True)
    zipfile.ZipFile(wheel).extractall(into)
    ask = [sys.executable, "-c", "from andon.build import build; print(build())"]
    where = {"PYTHONPATH": str(into), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        ask, check=True, capture_output=True, text=True, env=os.environ | where
    ).stdout.strip()


def test_two_wheels_of_one_version_are_told_apart(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")[:10]
    assert built(checkout) == f"{__version__}+g{commit}"
    with (checkout / "andon/__init__.py").open("a") as stream:
        stream.write("# changed\n")
    assert built(checkout) == f"{__version__}+g{commit}.changed"
    git(checkout, "commit", "-q", "-a", "-m", "Second.")
    assert built(checkout) == f"{__version__}+g{git(checkout, 'rev-parse', 'HEAD')[:10]}"


def test_without_git_the_builder_is_told_the_commit(checkout: Path) -> None:
    """As in an image's builder; a source that lies in another's repository is not of that one."""
    shutil.rmtree(checkout / ".git")
    git(checkout.parent, "init", "-q")
    git(checkout.parent, "commit", "-q", "--allow-empty", "-m", "Another's.")
    assert built(checkout) == __version__
    assert built(checkout, BUILD_COMMIT="f" * 40) == f"{__version__}+g{'f' * 10}"
