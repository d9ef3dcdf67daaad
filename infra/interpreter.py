"""Which build of Python the virtual environment is made of. Standard library only: setup runs it.

Two builds of the same version differ by a third: distributions build with profile-guided
optimisation, ``pyenv`` by default without, and what build it was is not recorded in a way that
can be trusted (Debian's names no flag). So each one found is timed.
"""

import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

FOLDERS = (Path("/usr/bin"), Path("/usr/local/bin"), Path("/opt/homebrew/bin"))
WORTH_IT = 0.85
"""Another build is taken when it needs at most this share of the default's time."""
ROUNDS = 7
"""Every build is timed this often, in turn, and its median counts: a shared machine changes its
speed by more than builds differ, from one second to the next."""
_TRIAL_S = 20.0
_TRIAL = """
import ctypes, lzma, sqlite3, ssl, sys, time

def work():
    found = {}
    for i in range(20_000):
        found[i % 97] = (i, str(i))
        pairs = [j for j in range(5)]
    return found

best = 9e9
for _ in range(9):
    begin = time.process_time()
    work()
    best = min(best, time.process_time() - begin)
assert sys.version_info[:2] == {version}, sys.version
print(best)
"""


def seconds(python: str, version: tuple[int, int] = sys.version_info[:2]) -> float | None:
    """CPU time of fixed work, seconds; None if it cannot be used (wrong or incomplete)."""
    code = _TRIAL.replace("{version}", repr(tuple(version)))
    try:
        done = subprocess.run(
            [python, "-I", "-c", code],
            capture_output=True,
            text=True,
            timeout=_TRIAL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else float(done.stdout)


def choose(default: str, timed: Mapping[str, float]) -> str:
    """The fastest, unless it gains too little over the default to be worth a surprise."""
    best = min(timed, key=lambda name: timed[name], default=default)
    if default in timed and timed[best] > WORTH_IT * timed[default]:
        return default
    return best


def builds() -> list[str]:
    """This interpreter's own build first, then others of the same version; each file once."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = str(Path(sys.executable))
    found = [own, shutil.which(python), *(str(folder / python) for folder in FOLDERS)]
    files: dict[Path, str] = {}
    for name in found:
        if name and Path(name).exists():
            files.setdefault(Path(name).resolve(), name)
    return list(files.values())


def time_in_turn(
    names: Sequence[str], measure: Callable[[str], float | None] = seconds
) -> dict[str, float]:
    """Each usable build's median time of :data:`ROUNDS`, seconds."""
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name in names:
            found = measure(name)
            if found is not None:
                times.setdefault(name, []).append(found)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Print the path of the build to use."""
    timed = time_in_turn(builds())
    sys.stdout.write(choose(builds()[0], timed) + "\n")


if __name__ == "__main__":
    main()
