"""What a process freed goes back to the machine, or is kept for its next need."""

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from serving.memory import give_back_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

before = resident()
held = [bytes(60_000) for _ in range(2_000)]
last = bytes(60_000)
del held
kept = resident() - before
give_back_memory()
print(kept, resident() - before)
"""


def test_what_was_freed_in_the_middle_of_the_heap_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={"MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_MMAP_THRESHOLD_": "1073741824"},
    )
    kept, left = map(int, done.stdout.split())
    assert kept > 50e6
    assert left < 0.3 * kept


FAULTS = """
import resource, sys
import numpy as np
from serving.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
np.ones(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(8 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
def test_what_a_training_frees_is_not_mapped_anew() -> None:
    mapped = {
        word: int(subprocess.check_output([sys.executable, "-c", FAULTS, word], text=True))
        for word in ("keep", "leave")
    }
    assert mapped["keep"] < 100 < mapped["leave"]
