"""Andon's own processes, run as a plant would: each by its command, each under a supervisor."""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.stack.process import Process


class RoleProcess:
    """One process of the line, running; started anew with the same command after a kill."""

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        program: str = "andon",
    ) -> None:
        """Start ``andon`` with these words and return at once; ``wait_ready`` waits for it.

        ``program`` is a module that runs ``andon`` under conditions of its own.
        """
        self.name = name
        self._command = [sys.executable, "-m", program, *words]
        self._log = folder / "logs" / f"{name}.log"
        self._environment = environment
        self._starts = 0
        self._notify: socket.socket | None = None
        self.start()

    def start(self) -> None:
        """Start it again after a kill."""
        self._close_notify()
        address = f"@andon-{os.getpid()}-{self.name}-{id(self)}-{self._starts}"
        self._starts += 1
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind("\0" + address[1:])
        environment = {
            **self._environment,
            "NOTIFY_SOCKET": address,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "",  # a process that starts often must not compile often
        }
        self.process = Process(self.name, self._command, self._log, environment)

    def wait_ready(self, timeout_s: float) -> float:
        """Seconds until it said that it works; ProcessError with its log's end otherwise."""
        begun = time.monotonic()
        self.process.wait_ready(self._said_ready, timeout_s)
        return time.monotonic() - begun

    def stop(self, timeout_s: float = 15.0) -> None:
        """SIGTERM, then SIGKILL. May be called twice."""
        self.process.stop(timeout_s)
        self._close_notify()

    def _said_ready(self) -> bool:
        if self._notify is None or not select.select([self._notify], [], [], 0)[0]:
            return False
        return b"READY=1" in self._notify.recv(4096)

    def _close_notify(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None


def stop_all(processes: Sequence[RoleProcess]) -> None:
    """Ask all to end at once, then wait for each."""
    for role in processes:
        if role.process.running:
            os.kill(role.process.pid, signal.SIGTERM)
    for role in processes:
        role.stop(15.0)
