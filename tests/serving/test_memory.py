"""What a process freed goes back to the machine."""

import subprocess
import sys

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
