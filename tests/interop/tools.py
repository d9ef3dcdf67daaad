"""Other people's tools, installed outside the project: Node's packages and promtool."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path

import pytest

from infra.stack.server import make_folder
from streams.envelope import Message

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".venvs"
"""Ignored by git, as the environments of peers and Kafka's jars are."""
MIN_NODE = 18
PROMTOOL = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"


class NodeTools:
    """Scripts of ``tests/interop/node`` with the packages that they need."""

    def __init__(self, packages: Path) -> None:
        self.packages = packages

    def run(self, script: str, *words: str | Path, timeout_s: float = 120.0) -> object:
        """What the script prints, which is one JSON value."""
        command = ["node", str(HERE / "node" / script), *map(str, words)]
        environment = {**os.environ, "NODE_PATH": str(self.packages / "node_modules")}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)


def digest_of(wanted: bytes) -> str:
    """Tells a folder of what a list asks for from one that an older list asked for."""
    return hashlib.sha256(wanted).hexdigest()[:12]


@cache
def node_tools(where: Path = HERE / "node") -> NodeTools:
    """The packages of ``where/package.json``.

    Skips, with a reason, where there is no Node or npm cannot fetch the packages.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no `node` and `npm` on the path: install Node.js 18 or newer")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30)
    if int(version.stdout.strip().lstrip("v").split(".")[0]) < MIN_NODE:
        pytest.skip(f"Node.js {version.stdout.strip()} is too old: {MIN_NODE} or newer is needed")
    wanted = (where / "package.json").read_bytes()
    folder = CACHE / f"node-{digest_of(wanted)}"
    if not folder.is_dir():
        make_folder(folder, partial(_fetch, wanted))  # two workers may need it at once
    return NodeTools(folder)


def _fetch(wanted: bytes, draft: Path) -> None:
    draft.mkdir()
    (draft / "package.json").write_bytes(wanted)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    try:
        done = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=240)
        problem = (done.stdout + done.stderr)[-300:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        problem = "no end after 240 s"
    if problem:
        pytest.skip(f"npm could not fetch the readers: {problem}")


@cache
def promtool() -> str:
    """The program; skips where it is neither on the path nor built.

    ``ANDON_TEST_PROMTOOL=1`` builds it with Go, which takes about ten minutes on two cores.
    """
    built = CACHE / "promtool" / "promtool"
    found = shutil.which("promtool") or (str(built) if built.is_file() else None)
    if found is not None:
        return found
    if shutil.which("go") is None:
        pytest.skip("no `promtool` on the path, and no `go` to build it")
    if os.environ.get("ANDON_TEST_PROMTOOL") != "1":
        pytest.skip("no `promtool` on the path: ANDON_TEST_PROMTOOL=1 builds it, for minutes")
    environment = {**os.environ, "GOBIN": str(built.parent)}
    done = subprocess.run(
        ["go", "install", PROMTOOL], env=environment, capture_output=True, text=True, timeout=1800
    )
    if done.returncode:
        pytest.skip(f"promtool cannot be built here: {done.stderr[-300:]}")
    return str(built)


def write_messages(path: Path, messages: Iterable[tuple[str, Message]]) -> Path:
    """Kafka records as JSON lines, bytes as base64: what the scripts read."""

    def text(value: bytes) -> str:
        return base64.b64encode(value).decode()

    lines = [
        json.dumps(
            {
                "topic": topic,
                "key": text(message.key),
                "value": text(message.value),
                "headers": {name: text(value) for name, value in message.headers},
            }
        )
        for topic, message in messages
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
