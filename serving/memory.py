"""Memory that a process has freed goes back to the machine."""

import ctypes
import gc


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
