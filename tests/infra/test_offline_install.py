"""An air-gapped machine: a bundle is made, carried as a tar, and installed without a network."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from lab.peers.environment import PeerError, uv_program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
BROUGHT = """
import console, policies, prompts
print(*(package.__path__[0] for package in (console, policies, prompts)))
"""
SPACE_NEEDED = 20e9
"""Bytes: wheels, the tar of them, the environment."""
TRAIN = """
import sys
from pathlib import Path
from lab.datasets.made_up import write_smoke_set
write_smoke_set(Path(sys.argv[1]))
"""


def need_index(folder: Path) -> None:
    """One small package comes from where uv is told to; the test skips and says why not."""
    try:
        uv = uv_program("it chooses what goes into the bundle")
    except PeerError as error:
        pytest.skip(str(error))
    command = [uv, "pip", "install", "-q", "--no-cache", "--no-deps", "--target", str(folder)]
    asked = subprocess.run([*command, "idna"], check=False, capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"no package index answers here: {asked.stderr.strip()[-300:]}")


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A bundle that came as a tar and was unpacked, and its digest."""
    folder = tmp_path_factory.mktemp("carried")
    if shutil.disk_usage(folder).free < SPACE_NEEDED:
        pytest.skip(f"less than {SPACE_NEEDED / 1e9:.0f} GB are free")
    need_index(folder / "asked")
    tar = folder / "andon.tar"
    try:
        made = CliRunner().invoke(app, ["bundle", "make", str(tar), "--json"])
        assert made.exit_code == 0, str(made.exception)
        subprocess.run(["tar", "-xf", tar, "-C", folder], check=True)
        tar.unlink()
        yield folder / "andon", json.loads(made.stdout.splitlines()[-1])["digest"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cut_off(*command: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run in a network namespace without any interface, where the kernel allows that."""
    alone = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        alone = []
    return subprocess.run(
        [*alone, *map(str, command)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **more},
        capture_output=True,
        text=True,
        timeout=1800,
    )


@pytest.fixture(scope="module")
def installed(carried: tuple[Path, str]) -> Path:
    """The programs of an environment that install.sh made."""
    bundle, digest = carried
    venv = bundle.parent / "opt/andon"
    done = cut_off("sh", bundle / "install.sh", venv, sys.executable, DIGEST=digest)
    assert done.returncode == 0, done.stdout + done.stderr
    return venv / "bin"


def test_what_was_installed_trains_and_inspects(installed: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", TRAIN, tmp_path / "data"], check=True)
    said = cut_off(installed / "andon", "--version")
    assert said.stdout.strip(), said.stderr
    assert "Could a part be decided" in cut_off(installed / "andon", "doctor", "--help").stdout
    words = ["-p", "made-up", "-i", tmp_path / "data/train/good", "--out", tmp_path / "experts"]
    state = {"ANDON_PATHS__STATE": str(tmp_path / "state")}
    trained = cut_off(installed / "andon", "train", *words, **state)
    assert trained.returncode == 0, trained.stderr
    scored = cut_off(
        *[installed / "andon", "inspect", "-a", tmp_path / "experts/made-up", "--json"],
        *[tmp_path / "data/test/good", tmp_path / "data/test/stain"],
        **state,
    )
    assert scored.returncode == 0, scored.stderr
    assert scored.stdout.count("stain") >= 6


def test_console_prompts_and_policies_came_along(installed: Path) -> None:
    console, policies, prompts = cut_off(installed / "python", "-c", BROUGHT).stdout.split()
    for found, suffixes in ((console, {".css", ".js", ".html", ".toml"}), (policies, {".yaml"})):
        assert {path.suffix for path in Path(found).rglob("*")} >= suffixes
    assert {path.suffix for path in Path(prompts).rglob("*")} >= {".jinja"}


def test_a_damaged_wheel_is_not_installed(carried: tuple[Path, str], tmp_path: Path) -> None:
    bundle, _ = carried
    damaged = tmp_path / "bundle"
    shutil.copytree(bundle, damaged, copy_function=_link)
    wheel = next((damaged / "wheels").glob("andon-*.whl"))
    body = bytearray(wheel.read_bytes())
    wheel.unlink()
    body[len(body) // 2] ^= 1
    wheel.write_bytes(body)
    done = cut_off("sh", damaged / "install.sh", tmp_path / "venv", sys.executable)
    assert done.returncode == 1
    assert f"wheels/{wheel.name}: FAILED" in done.stderr
    assert not (tmp_path / "venv").exists()


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
