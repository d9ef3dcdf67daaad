"""Graphs for OpenVINO, translated where torch is: in this process if it has it, else in a child.

Only translating needs torch, which is half a gigabyte of a process that would hold it for nothing
ever after. The child takes one graph after the other, and ends when none was asked of it for a
while, or when its parent is gone.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

from serving.experts.errors import RuntimeUnavailable
from serving.experts.forms import BackboneGraph, HeadsGraph, stated
from serving.experts.runtime import openvino_core

TRANSLATED_S: Final = 300.0
"""Until the child has translated a graph, seconds: about five of a whole core for its first."""
GRAPHS_EACH: Final = 8
"""So many are asked of a child: torch keeps what it traced, some 35 MB of each form of heads."""
IDLE_S: Final = 10.0
"""So long the child waits for the next graph, seconds."""


def translate(asked: BackboneGraph | HeadsGraph) -> Any:
    """The graph as a model of OpenVINO's.

    Raises:
        RuntimeUnavailable: the backbone's weights are missing, or it cannot be translated.
    """
    if "torch" in sys.modules:
        from serving.experts.tracing import trace

        return trace(asked)
    with tempfile.TemporaryDirectory(prefix="andon-graph-") as folder:
        file = Path(folder) / "graph.xml"
        _child.write(asked, file)
        return openvino_core().read_model(file)


class _Child:
    """The process that translates, started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self._idle: threading.Timer | None = None
        self._given = 0

    def write(self, asked: BackboneGraph | HeadsGraph, file: Path) -> None:
        """Have the graph written to a file."""
        with self._asking:
            if self._idle is not None:
                self._idle.cancel()
            said = self._ask({"file": str(file), **stated(asked)})
            self._idle = threading.Timer(IDLE_S, self.close)
            self._idle.daemon = True
            self._idle.start()
        if said:
            raise RuntimeUnavailable(said)

    def close(self) -> None:
        """End it, if there is one."""
        with self._asking:
            self._end()

    def _ask(self, words: Mapping[str, object]) -> str:
        try:
            is_worn = self._given >= GRAPHS_EACH
            if self._process is None or self._process.poll() is not None or is_worn:
                self._end()
                self._process, self._given = _start(), 0
            given, taken = self._process.stdin, self._process.stdout
            assert given is not None
            assert taken is not None
            given.write(json.dumps(words).encode() + b"\n")
            given.flush()
            self._given += 1
            if wait([taken.fileno()], TRANSLATED_S) and (line := taken.readline()):
                return str(json.loads(line))
            why = f"no answer within {TRANSLATED_S:.0f} s, or the child ended and said why"
        except (OSError, ValueError) as error:
            why = str(error)
        self._end()
        return f"a graph could not be translated: {why}"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # it holds nothing that anybody waits for
        with suppress(OSError):  # what it was asked may still lie in the pipe
            process.communicate()


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "serving.experts.tracing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


_child = _Child()


def end_child() -> None:
    """End the process that translates, if there is one; the next graph starts another."""
    _child.close()


atexit.register(end_child)
