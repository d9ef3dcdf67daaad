"""A process of Andon on a host that fails as it is told: its disk, and its wall clock.

    FAILING_HOST=FILE python -m lab.harness.failing_host gateway ...

FILE is JSON and may change at any time; no file, no fault. ``errno`` is what the disk answers below
``folder``: opening for writing fails, and so does every fsync. ``ahead_s`` is by how many seconds
the wall clock is ahead; the monotonic clock is the host's. It needs no privileges, mounts nothing,
and touches no other process. Only this laboratory starts it.
"""

import builtins
import datetime
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

VARIABLE: Final = "FAILING_HOST"
_LOOK_S: Final = 0.05
"""The file is looked at again after this long, seconds."""


class HostFaults:
    """What the file says now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = float("-inf")
        self.errno = 0
        self.folder = ""
        self.ahead_s = 0.0

    def look(self) -> "HostFaults":
        """Read the file again where the last look was a while ago."""
        if time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            try:
                said = json.loads(os.read(descriptor := os.open(self._path, os.O_RDONLY), 4096))
                os.close(descriptor)
            except (OSError, ValueError):
                said = {}
            self.errno = int(said.get("errno", 0))
            self.folder = str(said.get("folder", ""))
            self.ahead_s = float(said.get("ahead_s", 0.0))
        return self

    def refuse(self, path: str) -> None:
        """Raise what the disk answers for this path. Raises ``OSError``."""
        if self.look().errno and path.startswith(self.folder):
            raise OSError(self.errno, os.strerror(self.errno), path)


def _with_disk(faults: HostFaults) -> None:
    real_open, real_fsync, real_fdatasync = io.open, os.fsync, os.fdatasync

    def opened(file: object, mode: str = "r", *args: object, **options: object) -> object:
        if isinstance(file, str | os.PathLike) and set(mode) & set("wax+"):
            faults.refuse(os.path.abspath(os.fspath(file)))
        return real_open(file, mode, *args, **options)  # type: ignore[call-overload]

    def asked(call: Callable[[int], None]) -> Callable[[int], None]:
        def synced(descriptor: int) -> None:
            if faults.look().errno:
                faults.refuse(os.readlink(f"/proc/self/fd/{descriptor}"))
            call(descriptor)

        return synced

    setattr(io, "open", opened)  # noqa: B010 - the typed name may not be assigned
    setattr(builtins, "open", opened)  # noqa: B010
    setattr(os, "fsync", asked(real_fsync))  # noqa: B010
    setattr(os, "fdatasync", asked(real_fdatasync))  # noqa: B010


def _with_clock(faults: HostFaults) -> None:
    real_time, real_datetime = time.time, datetime.datetime

    class _Kind(type):
        """Every real moment counts as one of the shifted clock's."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real_datetime)

    class Shifted(datetime.datetime, metaclass=_Kind):
        """``datetime`` whose ``now`` is ahead; what it gives are real moments."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return real_datetime.fromtimestamp(time.time(), tz)

        def __new__(cls, *args: object, **fields: object) -> datetime.datetime:  # type: ignore[misc]
            return real_datetime(*args, **fields)  # type: ignore[arg-type]

    setattr(time, "time", lambda: real_time() + faults.look().ahead_s)  # noqa: B010
    setattr(datetime, "datetime", Shifted)  # noqa: B010


def main() -> None:
    """``andon`` with the arguments of this program."""
    faults = HostFaults(Path(os.environ[VARIABLE]))
    _with_disk(faults)
    _with_clock(faults)
    from andon.__main__ import main as andon

    sys.argv[0] = "andon"
    andon()


if __name__ == "__main__":
    main()
