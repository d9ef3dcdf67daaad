"""Andon's own processes, run as a plant would: each by its command, each under a supervisor."""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.stack.process import Process, ProcessError


@dataclass
class RoleProcess:
    """One process of the line; started anew with the same command after a kill."""

    name: str
    words: Sequence[str]
    """Arguments of ``andon``."""
    folder: Path
    environment: Mapping[str, str]
    tethered: bool = True
    process: Process | None = None
    starts: int = 0
    _notify: socket.socket | None = field(default=None, repr=False)

    @property
    def log_path(self) -> Path:
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ProcessError(f"{self.name} was never started")
        return self.process.pid

    def start(self) -> None:
        """Start the process and return at once; ``wait_ready`` waits for it."""
        self._close_notify()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = f"@andon-{os.getpid()}-{self.name}-{id(self)}-{self.starts}"
        self._notify.bind("\0" + address[1:])
        self.process = Process(
            self.name,
            [sys.executable, "-m", "andon", *self.words],
            self.log_path,
            {
                **self.environment,
                "NOTIFY_SOCKET": address,
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "",  # a process that starts often must not compile often
            },
            tethered=self.tethered,
        )
        self.starts += 1

    def wait_ready(self, timeout_s: float) -> float:
        """Seconds until it said that it works; ProcessError with its log's end otherwise."""
        if self.process is None or self._notify is None:
            raise ProcessError(f"{self.name} was never started")
        begun = time.monotonic()
        self.process.wait_ready(self._said_ready, timeout_s)
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it by SIGKILL, as a fault would."""
        if self.process is not None:
            self.process.kill()

    def stop(self, timeout_s: float = 15.0) -> None:
        """SIGTERM, then SIGKILL. May be called twice."""
        if self.process is not None:
            self.process.stop(timeout_s, signal.SIGTERM)
        self._close_notify()

    def _said_ready(self) -> bool:
        if self._notify is None or not select.select([self._notify], [], [], 0)[0]:
            return False
        return b"READY=1" in self._notify.recv(4096)

    def _close_notify(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None


def stop_all(processes: Sequence[RoleProcess], timeout_s: float = 15.0) -> None:
    """Ask all to end at once, then wait for each."""
    for role in processes:
        if role.process is not None and role.process.running:
            os.kill(role.process.pid, signal.SIGTERM)
    for role in processes:
        role.stop(timeout_s)
