"""What a process has freed: kept for its next need, or given back to the machine."""

import ctypes
import gc
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of ``mallopt`` in glibc's malloc.h."""
_LARGEST: Final = 1 << 30


def give_back_memory() -> None:
    """Call it after something large was loaded, not while something works.

    malloc keeps what was freed where a replica's settings tell it to (``infra/serve.yaml``), so
    that a frame maps no memory anew: what loading took for a moment would otherwise stay for good.
    Nothing happens where the C library is not glibc.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_memory() -> None:
    """Have malloc keep what is freed, for a process that works through large arrays and ends.

    Else each array is mapped anew and its pages are zeroed, a tenth of a training's time. Nothing
    happens where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST - 1)
