"""One process for many mutants of one core: it forks a child for each, which runs the tests.

    python -m lab.mutation.host FOLDER  < orders  > answers

An order is a line of JSON with ``tests`` and, for a mutant, ``module``, ``file`` and ``number``;
without them the code is tested as it is. The answer is ``{"code": ..., "seconds": ...}`` where the
code is pytest's, or -1 where the time was over. What the tests import from elsewhere is known from
the first run and loaded once, before the forks; the repository's own modules each child loads.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from lab.mutation.operators import mutated

_OURS = {"andon", "connectors", "console", "history", "infra", "lab", "policies", "prompts"}
_OURS |= {"serving", "streams", "tests"}
_POLL_S = 0.02
CRASHED = 70
"""The code of a child in which pytest itself raised, as it does for a file that nobody closed."""
LOADED = "modules.txt"
"""The names of the modules that the tests of the code as it is had loaded at their end."""


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module from changed code, and leaves every other to Python."""

    def __init__(self, name: str, file: Path, code: CodeType) -> None:
        self._name, self._file, self._code = name, file, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._file, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102 - the repository's own code, changed


def _tested(order: dict[str, str], folder: Path) -> int:
    """In the child: load the mutant, run the tests; pytest's exit code."""
    import hypothesis
    import pytest

    hypothesis.settings.register_profile(
        "mutants",
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("mutants")
    if order.get("module"):
        file = Path(order["file"])
        tree = mutated(file.read_text(encoding="utf-8"), int(order["number"]))
        changed = compile(tree, str(file), "exec")
        sys.meta_path.insert(0, _Changed(order["module"], file, changed))
    words = [
        "-x",
        "-q",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
        "-m",
        "not slow",
    ]
    code = int(pytest.main([*words, f"--basetemp={folder / 'tmp'}", *order["tests"].split()]))
    if not order.get("module"):
        (folder / LOADED).write_text(" ".join(sys.modules))
    return code


def _forked(order: dict[str, str], folder: Path, timeout_s: float) -> dict[str, float]:
    """Run the tests in a child of its own; -1 where it was not done in time."""
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        with (folder / "last.log").open("wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        code = CRASHED
        try:
            code = _tested(order, folder)
        except BaseException:  # noqa: BLE001 - the child ends here, whatever the mutant did
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    while time.monotonic() - begun < timeout_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return {"code": code if code >= 0 else 1, "seconds": time.monotonic() - begun}
        time.sleep(_POLL_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return {"code": -1, "seconds": time.monotonic() - begun}


def _preload(names: Sequence[str]) -> None:
    """Load what others wrote, so that each child has it; what cannot be loaded twice is left."""
    for name in names:
        if name.partition(".")[0] not in _OURS and not name.startswith("_"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def main(folder: Path) -> None:
    """Answer orders until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    _preload(["pytest", "hypothesis"])
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("module") and (folder / LOADED).exists():
            _preload((folder / LOADED).read_text().split())
            (folder / LOADED).unlink()
        answer = _forked(order, folder, float(order.pop("timeout_s")))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
