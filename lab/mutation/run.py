"""Run the mutants of the pure cores against the cores' own unit tests, and count the killed."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from lab.mutation.cores import Core
from lab.mutation.host import CRASHED
from lab.mutation.operators import Mutant, mutants
from lab.progress import Say
from streams.errors import AndonError

ROOT = Path(__file__).parents[2]
LEAST_S = 15.0
"""A mutant has at least this long, seconds; more where the tests take longer as the code is."""
SLOWER = 5.0
"""A mutant that takes this many times as long as the code hangs, and is killed by that."""


class MutationError(AndonError):
    """The tests cannot judge mutants: they fail on the code as it is, or the mutant cannot run."""


@dataclass(frozen=True)
class Tried:
    """One mutant, and whether a test noticed it."""

    module: str
    mutant: Mutant
    killed: bool
    seconds: float


@dataclass
class CoreFound:
    """What became of a core's mutants."""

    core: str
    tried: list[Tried] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """Mutants that a test noticed, or that made one hang or pytest itself raise."""
        return sum(t.killed for t in self.tried)

    @property
    def share(self) -> float:
        """Killed of tried, 1 where there is no mutant."""
        return self.killed / len(self.tried) if self.tried else 1.0

    def by_module(self) -> dict[str, tuple[int, int]]:
        """Killed and tried by module."""
        names = dict.fromkeys(t.module for t in self.tried)
        return {
            name: (
                sum(t.killed for t in self.tried if t.module == name),
                sum(t.module == name for t in self.tried),
            )
            for name in names
        }


def chosen(core: Core, sample: int | None, seed: int) -> list[tuple[str, Mutant]]:
    """The mutants of a core, or so many of them, drawn by ``seed``."""
    found = [
        (module, mutant)
        for module in core.modules
        for mutant in mutants((ROOT / module).read_text(encoding="utf-8"))
    ]
    if sample is None or sample >= len(found):
        return found
    return sorted(random.Random(seed).sample(found, sample), key=lambda f: (f[0], f[1].number))


class _Host:
    """A process that forks a child for each mutant, see ``lab.mutation.host``."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "lab.mutation.host", str(folder)]
        self.folder = folder
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""},
            text=True,
        )

    def ask(self, core: Core, timeout_s: float, **mutant: str) -> tuple[int, float]:
        """Run the core's tests; pytest's exit code and the seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"tests": " ".join(core.tests), "timeout_s": timeout_s, **mutant}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise MutationError(f"the process that runs the tests ended: {self.last_words()}")
        answer: dict[str, float] = json.loads(line)
        return int(answer["code"]), answer["seconds"]

    def last_words(self) -> str:
        """The end of what the tests printed."""
        log = self.folder / "last.log"
        return log.read_text(errors="replace")[-1500:] if log.exists() else ""

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:  # its answers are told: nothing is lost with it
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def _hosts(count: int) -> Iterator[list[_Host]]:
    with tempfile.TemporaryDirectory(prefix="andon-mutants-") as scratch:
        folders = [Path(scratch, str(n)) for n in range(count)]
        for folder in folders:
            folder.mkdir()
        hosts = [_Host(folder) for folder in folders]
        try:
            yield hosts
        finally:
            for host in hosts:
                host.close()


def run_core(
    name: str,
    core: Core,
    say: Say,
    sample: int | None = None,
    seed: int = 0,
    jobs: int = 1,
) -> CoreFound:
    """Try the mutants of one core.

    Args:
        name: how the core is called.
        core: its modules and tests.
        say: told of each that no test noticed.
        sample: so many, drawn by ``seed``; None: all.
        seed: of the draw.
        jobs: mutants at once.

    Raises:
        MutationError: the tests fail on the code as it is.
    """
    found = CoreFound(name)
    with _hosts(jobs) as hosts:
        limit = LEAST_S
        for host in hosts:
            code, seconds = host.ask(core, 300.0)
            if code != 0:
                words = host.last_words()
                raise MutationError(f"{name}: its tests fail on the code as it is:\n{words}")
            limit = max(limit, SLOWER * seconds)
        free: SimpleQueue[_Host] = SimpleQueue()
        for host in hosts:
            free.put(host)

        def tried(one: tuple[str, Mutant]) -> Tried:
            module, mutant = one
            host = free.get()
            try:
                code, took = host.ask(core, limit, **_order(module, mutant))
            finally:
                free.put(host)
            if code not in (-1, 0, 1, 2, CRASHED):
                raise MutationError(f"{module}:{mutant.line}: pytest ended with {code}")
            return Tried(module, mutant, code != 0, took)

        with ThreadPoolExecutor(jobs) as threads:
            for one in threads.map(tried, chosen(core, sample, seed)):
                found.tried.append(one)
                if not one.killed:
                    say(f"survived: {described(one)}")
    return found


def _order(module: str, mutant: Mutant) -> dict[str, str]:
    name = module.removesuffix(".py").replace("/", ".")
    return {"module": name, "file": str(ROOT / module), "number": str(mutant.number)}


def described(tried: Tried) -> str:
    """A mutant in one line."""
    mutant = tried.mutant
    return f"{tried.module}:{mutant.line}: {mutant.kind}: {mutant.before} -> {mutant.after}"


def figures(found: Sequence[CoreFound]) -> dict[str, object]:
    """Killed and total by core and module, and who survived."""
    return {
        "cores": {
            one.core: {
                "killed": one.killed,
                "total": len(one.tried),
                "share": round(one.share, 4),
                "modules": {m: {"killed": k, "total": n} for m, (k, n) in one.by_module().items()},
            }
            for one in found
        },
        "killed": sum(one.killed for one in found),
        "total": sum(len(one.tried) for one in found),
        "survivors": [described(t) for one in found for t in one.tried if not t.killed],
    }
