"""The wheel without extras: every production process starts, and none imports the laboratory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCTION = (
    "gateway", "worker", "console", "train", "inspect", "classify teach", "policy validate",
    "policy apply", "history list", "history export", "doctor", "llm check", "stack up",
)  # fmt: skip
STARTS = """
import json, sys
from andon.__main__ import app
sys.argv = ["andon", *json.loads(sys.argv[1])]
try:
    app(prog_name="andon")
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
"""Runs ``andon`` with the given words and ends with the names of all modules on stderr."""
PROCESSES = """
import andon.processes.gateway, andon.processes.worker, andon.checks, andon.serve_app
import console.api, serving.experts.training, serving.naming.prototypes, serving.ray.app
from andon.wiring import brokers, edge, ray_serve, storage
from andon.settings import load_settings
settings = load_settings()
for build in (ray_serve.vision_expert, ray_serve.classifier, storage.history,
              storage.history_writer, storage.policy_log, storage.image_store,
              brokers.changelog, edge.line_link, edge.journal, edge.spools, edge.cameras):
    build(settings)
import json, sys
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
"""Imports what the processes import and builds their adapters, without connecting."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and what it depends on, and no extra."""
    uv = shutil.which("uv", path=f"{os.environ['PATH']}{os.pathsep}{_tools()}")
    if uv is None:
        pytest.skip("uv is not installed; infra/setup.sh fetches it")
    folder = tmp_path_factory.mktemp("plant")
    python = folder / "venv/bin/python"
    steps = [
        [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(ROOT)],
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
    ]
    for step in steps:
        _run_or_skip(step)
    (wheel,) = (folder / "dist").glob("*.whl")
    pins = ["-c", str(ROOT / "constraints.txt"), "--link-mode", "symlink"]
    _run_or_skip([uv, "pip", "install", "--quiet", "--python", str(python), *pins, str(wheel)])
    return python


def _tools() -> str:
    """Where infra/setup.sh puts uv, beside the virtual environment that runs the tests."""
    return str(Path(f"{sys.prefix}-tools") / "bin")


def _run_or_skip(step: list[str]) -> None:
    """Install from uv's cache, and from the network what it lacks."""
    for offline in (["--offline"], []):
        done = subprocess.run([step[0], *offline, *step[1:]], capture_output=True, text=True)
        if done.returncode == 0:
            return
    pytest.skip(f"uv has neither cache nor network for this: {done.stderr.strip()[-300:]}")


def _modules(python: Path, *arguments: str) -> set[str]:
    """All modules that the program had imported when it ended."""
    done = subprocess.run(
        [str(python), "-c", *arguments], capture_output=True, text=True, cwd=python.parent
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names: list[str] = json.loads(done.stderr.strip().splitlines()[-1])
    return set(names)


def _laboratory(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == "lab"}


@pytest.mark.parametrize("words", PRODUCTION)
def test_each_process_starts_without_the_laboratory(plant: Path, words: str) -> None:
    modules = _modules(plant, STARTS, json.dumps([*words.split(), "--help"]))
    assert "andon.__main__" in modules
    assert not _laboratory(modules)


def test_the_processes_find_every_library_that_they_import(plant: Path) -> None:
    assert not _laboratory(_modules(plant, PROCESSES))


def test_the_help_names_the_laboratory_and_imports_none_of_it(plant: Path) -> None:
    assert not _laboratory(_modules(plant, STARTS, '["--help"]'))
    program = plant.parent / "andon"
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    assert "benchmark" in shown.stdout


@pytest.mark.parametrize(
    ("words", "extra"), [("benchmark line --smoke", "lab"), ("stack status", "embedded")]
)
def test_without_its_extra_a_command_says_what_to_install(
    plant: Path, words: str, extra: str
) -> None:
    program = plant.parent / "andon"
    done = subprocess.run([program, *words.split()], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"pip install 'andon[{extra}" in done.stderr
    assert "Traceback" not in done.stderr
