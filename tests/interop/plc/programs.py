"""Controllers that others' software runs: a program of node-opcua, and one of Eclipse Milo."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.stack.kafka_local import kafka_available
from infra.stack.process import ProcessError
from infra.stack.server import make_folder, run_to_end
from tests.interop.tools import CACHE, NodeTools, digest_of, node_tools

HERE = Path(__file__).parent
Options = Mapping[str, object]
Row = dict[str, Any]


@cache
def node_opcua() -> NodeTools:
    """Skips, with a reason, where Node or npm's packages cannot be had."""
    return node_tools(HERE / "node_opcua")


@cache
def milo_jars() -> Path:
    """Skips, with a reason, where Java, Maven or its packages cannot be had."""
    pom = HERE / "milo" / "pom.xml"
    folder = CACHE / f"milo-{digest_of(pom.read_bytes())}"
    why = kafka_available()  # the same Java and the same Maven
    if not folder.is_dir() and (why or shutil.which("mvn") is None):
        pytest.skip(why or "no `mvn` on the path: install Apache Maven, it fetches Eclipse Milo")
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime"]
    try:
        if not folder.is_dir():
            make_folder(
                folder, lambda draft: run_to_end([*command, f"-DoutputDirectory={draft}"], 300.0)
            )
    except (ProcessError, subprocess.SubprocessError) as error:
        pytest.skip(f"Maven could not fetch Eclipse Milo: {str(error)[-300:]}")
    return folder


def node_command(options: Options) -> tuple[list[str], dict[str, str]]:
    """How the controller of node-opcua is started, and what is added to its environment."""
    tools = node_opcua()
    script = str(HERE / "node_opcua" / "plc.cjs")
    environment = {"NODE_PATH": str(tools.packages / "node_modules")}
    return ["node", "--max-old-space-size=256", script, json.dumps(dict(options))], environment


def milo_command(options: Options) -> tuple[list[str], dict[str, str]]:
    """How the controller of Eclipse Milo is started."""
    words = [
        f"{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in options.items()
    ]
    java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [*java, "-cp", f"{milo_jars()}/*", str(HERE / "milo" / "AndonPlc.java"), *words], {}


COMMANDS: dict[str, Callable[[Options], tuple[list[str], dict[str, str]]]] = {
    "node-opcua": node_command,
    "milo": milo_command,
}


class ForeignPlc:
    """One run of a controller's program, and the rows that it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reading = asyncio.create_task(self._read())
        self.rows: list[Row] = []

    def count(self, event: str) -> int:
        return sum(row["event"] == event for row in self.rows)

    async def kill(self) -> None:
        """The power is gone."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"{"):  # node-opcua warns on its standard output
                self.rows.append(json.loads(line))


async def start_plc(kind: str, options: Options) -> ForeignPlc:
    """Start a controller; it listens when this returns."""
    command, more = COMMANDS[kind](options)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, **more}
    )
    plc = ForeignPlc(process)
    try:
        async with asyncio.timeout(120):
            while not plc.count("listening"):
                if process.returncode is not None:
                    raise AssertionError(f"{kind} ended with {process.returncode}")
                await asyncio.sleep(0.01)
    except BaseException:
        await plc.kill()
        raise
    return plc
