"""Setup installs only files whose hashes are named, and builds of one's own only when told to."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "line"
version = "1"
dependencies = ["part"]

[project.optional-dependencies]
embedded = []
demo = []
lab = []
mqtt = []

[dependency-groups]
dev = []
build = []
"""
BACKEND = """
from tests_wheel import wheel

def build_editable(folder, config_settings=None, metadata_directory=None):
    return wheel(folder, "line").name
"""


def wheel(folder: str | Path, name: str, text: str = "") -> Path:
    """A wheel with one module that holds the text."""
    path = Path(folder, f"{name}-1-py3-none-any.whl")
    info = f"{name}-1.dist-info"
    files = {
        f"{name}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, content)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one dependency, which a folder offers and the constraints name."""
    offered = tmp_path / "offered"
    offered.mkdir()
    digest = hashlib.sha256(wheel(offered, "part").read_bytes()).hexdigest()
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    shutil.copy(__file__, tmp_path / "tests_wheel.py")
    (tmp_path / "constraints.txt").write_text("part==1\n")
    (tmp_path / "constraints-hashed.txt").write_text(f"part==1 \\\n    --hash=sha256:{digest}\n")
    return tmp_path


def setup(project: Path, **more: str) -> subprocess.CompletedProcess[str]:
    tools = f"{os.environ['PATH']}{os.pathsep}{sys.prefix}-tools/bin"
    uv = shutil.which("uv", path=tools)
    if uv is None:
        pytest.skip("uv is not installed; infra/setup.sh fetches it")
    return subprocess.run(
        ["sh", ROOT / "infra/setup.sh", "venv", sys.executable],
        cwd=project,
        env={
            **os.environ,
            "PATH": f"{Path(uv).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(pytest.__file__).parents[1]),  # the backend imports this file
            "UV_OFFLINE": "1",
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(project / "offered"),
            "UV_CACHE_DIR": str(project / "cache"),
            **more,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def installed(project: Path) -> set[str]:
    return {p.stem for p in (project / "venv/lib").glob("python*/site-packages/part.py")}


def test_the_named_file_is_installed(project: Path) -> None:
    done = setup(project)
    assert done.returncode == 0, done.stderr
    assert installed(project)


def test_another_file_of_the_same_version_is_refused(project: Path) -> None:
    wheel(project / "offered", "part", "forged = True")
    done = setup(project)
    assert done.returncode == 1
    assert "Hash mismatch" in done.stderr
    assert "make HASHES=no setup" in done.stderr
    assert not installed(project)


def test_a_package_without_a_hash_is_refused(project: Path) -> None:
    (project / "constraints-hashed.txt").write_text("part==1\n")
    done = setup(project)
    assert done.returncode == 1
    assert "no trusted hash" in done.stderr or "must have a hash" in done.stderr, done.stderr
    assert not installed(project)


def test_a_build_of_ones_own_is_installed_when_told_to(project: Path) -> None:
    wheel(project / "offered", "part", "built_here = True")
    done = setup(project, HASHES="no")
    assert done.returncode == 0, done.stderr
    assert installed(project)


def test_a_misspelt_answer_is_no_permission(project: Path) -> None:
    done = setup(project, HASHES="off")
    assert done.returncode == 1
    assert "HASHES=off: it is yes or no" in done.stderr
