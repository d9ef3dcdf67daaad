"""This host's clocks: whether one is synchronised, and which boot the other counts from."""

import ctypes
import sys
from functools import cache
from pathlib import Path

from streams.codes import ClockStatus

_TIME_ERROR = 5
_TIMEX_BYTES = 208
"""Size of ``struct timex`` on 64-bit Linux; with ``modes`` 0 the call only reads."""


@cache
def _libc() -> ctypes.CDLL:
    """Opened once: the gateway says every second how it is."""
    return ctypes.CDLL(None, use_errno=True)


def clock_status() -> ClockStatus:
    """Ask ``adjtimex(2)``: TIME_ERROR means that nothing disciplines the clock."""
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return ClockStatus.UNKNOWN
    try:
        result = _libc().adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return ClockStatus.UNKNOWN
    if result < 0:
        return ClockStatus.UNKNOWN
    return ClockStatus.UNSYNCHRONISED if result == _TIME_ERROR else ClockStatus.SYNCHRONISED


def host_boot() -> str:
    """Names this boot of the host, from which the monotonic clock counts; empty when unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:13]
    except (OSError, ValueError):
        return ""
