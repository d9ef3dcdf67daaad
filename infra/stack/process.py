"""One child process: started with a log file, waited for, stopped for certain."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path

import psutil

from streams.errors import AndonError

SERVER_PORTS = range(20000, 30000)
"""Ports for servers; Ray's workers have those below, outgoing connections those from 32768."""
_END_S = 3.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class ProcessError(AndonError):
    """A child process did not start, died, or did not become ready in time."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on right now.

    It is below those that Linux gives to outgoing connections: one of them took a port now and
    then before its server listened.

    Raises:
        ProcessError: every port of ``SERVER_PORTS`` is taken.

    >>> free_port() in SERVER_PORTS
    True
    """
    for port in random.sample(SERVER_PORTS, len(SERVER_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ProcessError(f"no port of {SERVER_PORTS.start} to {SERVER_PORTS.stop - 1} is free")


def port_is_open(port: int) -> bool:
    """Whether something accepts TCP connections on loopback's ``port``."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_http(port: int, path: str) -> bool:
    """Whether a GET of ``path`` on loopback's ``port`` is answered with 200.

    Raises:
        OSError: nothing listens, or the answer is an error.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as response:
            return bool(response.status == 200)
    except HTTPException:
        return False


def _die_with_parent() -> None:
    """Runs in the child: the kernel ends it with the thread that started it, ``kill -9`` too."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child in a session of its own, its output in ``log_path``.

    ``tethered`` children end with the process that started them (Linux); others outlive it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: Path,
        env: Mapping[str, str] | None = None,
        tethered: bool = True,
    ) -> None:
        self.name = name
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent if tethered and sys.platform == "linux" else None,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return once ``ready()``; raise ProcessError with the log's end when it never is."""
        deadline = time.monotonic() + timeout_s
        problem = f"was not ready within {timeout_s:g} s"
        while time.monotonic() < deadline:
            if not self.running:
                problem = f"ended with code {self.returncode}"
                break
            with contextlib.suppress(OSError):
                if ready():
                    return
            time.sleep(0.05)
        raise ProcessError(f"{self.name} {problem}:\n{self.tail()}\nwhole log: {self.log_path}")

    def kill(self) -> None:
        """SIGKILL to this process alone, as a fault would."""
        self._popen.kill()
        self._popen.wait(10)

    def stop(self, timeout_s: float = 10.0, sig: int = signal.SIGTERM) -> None:
        """Ask it to end, then end it and everything it started."""
        family = descendants(self.pid)
        if self.running:
            self._popen.send_signal(sig)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout_s)
        if self.running:
            self._popen.kill()
            self._popen.wait(10)
        end_all(family)

    def tail(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-15:])
        return ""


def descendants(pid: int) -> list[psutil.Process]:
    """Every process below ``pid``, itself not included."""
    with contextlib.suppress(psutil.Error):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def end_all(processes: Sequence[psutil.Process]) -> None:
    """SIGTERM, then SIGKILL, to what is still alive of them."""
    alive = [p for p in processes if p.is_running()]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=_END_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=_END_S)
