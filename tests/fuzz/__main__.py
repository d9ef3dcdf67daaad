"""``python -m tests.fuzz policies 5000``: mutations of one kind, and the worst that any took.

Exit code 1 where one raises, or takes more than a second of the processor or 200 MiB.
"""

import importlib
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.rounds import MOST_MIB, peak_mib

MOST_S = 1.0


def main(kind: str, count: int) -> bool:
    """Try ``count`` mutations with ``tried`` of ``tests/fuzz/test_<kind>.py``; whether all held."""
    tried = importlib.import_module(f"tests.fuzz.test_{kind}").tried
    taken, failed = [], 0
    logging.disable()  # what is said of each mutation is for people who have one file
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(count):
            began, held = time.thread_time(), peak_mib()
            try:
                tried(seed, Path(folder))
            except Exception as error:
                failed += 1
                sys.stdout.write(f"{kind} {seed}: {type(error).__name__}: {error}\n")
            taken.append((time.thread_time() - began, peak_mib() - held, seed))
    slowest, largest = max(taken), max(taken, key=lambda t: t[1])
    sys.stdout.write(
        f"{kind}: {count} mutations, {failed} failed; slowest {slowest[0]:.2f} s of the processor "
        f"({slowest[2]}), largest {largest[1]:.0f} MiB ({largest[2]})\n"
    )
    return not failed and slowest[0] <= MOST_S and largest[1] <= MOST_MIB


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1], int(sys.argv[2])) else 1)
