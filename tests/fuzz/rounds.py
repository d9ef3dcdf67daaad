"""How many mutations a fuzz test tries: a small share at each run, all of them where it is asked.

``ANDON_TEST_FUZZ=5000 python -m pytest tests/fuzz`` sets the number for every kind.
"""

import os
import resource
from typing import Final

MOST_MIB: Final = 200.0
"""What one mutation may take of memory, MiB."""


def rounds(share: int) -> int:
    """The number of mutations: ``ANDON_TEST_FUZZ``, else the share that every run tries."""
    return int(os.environ.get("ANDON_TEST_FUZZ", share))


def peak_mib() -> float:
    """The most memory that the process ever held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
