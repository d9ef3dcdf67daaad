"""What the local servers share: a port on loopback, a log, a start that is waited for, a stop."""

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import psutil

from infra.stack.process import Process, ProcessError, free_port, port_is_open

HOST = "127.0.0.1"


@dataclass
class LocalServer:
    """A running server on loopback; a context manager that stops it."""

    process: Process
    port: int
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout_s: ClassVar[float] = 10.0

    @property
    def address(self) -> str:
        """host:port, without a scheme."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    @property
    def temporary_folder(self) -> Path | None:
        """A folder that goes with the server."""
        return None

    def kill(self) -> None:
        """SIGKILL, as a fault test does; the same start on the same folder recovers its data."""
        self.process.kill()

    def stop(self) -> None:
        """End it in order, then by force after ``stop_timeout_s``. May be called twice."""
        self.process.stop(self.stop_timeout_s, self.stop_signal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def launch(
    name: str,
    command: Sequence[str],
    log: Path,
    ready: Callable[[Process], bool],
    ready_timeout_s: float,
    env: Mapping[str, str] | None = None,
    tethered: bool = True,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Process:
    """Start a child and return it once ``ready``; one that never is gets stopped again.

    Raises:
        ProcessError: it ended, or was not ready in time; the message holds the end of its log.
    """
    process = Process(name, command, log, env, tethered=tethered)
    try:
        process.wait_ready(lambda: ready(process), ready_timeout_s)
    except BaseException:
        process.stop(5.0, stop_signal)
        raise
    return process


def take_port(port: int | None, setting: str) -> int:
    """``port``, or a free one when it is None.

    Args:
        port: TCP port on loopback that is wanted.
        setting: how the user names another port, for the error.

    Raises:
        ProcessError: something listens there.
    """
    chosen = free_port() if port is None else port
    if port_is_open(chosen):
        raise ProcessError(
            f"port {chosen} on {HOST} is in use: stop what listens there (`andon stack down`), "
            f"or set {setting} to another port"
        )
    return chosen


def log_beside(data_dir: Path, log_path: Path | None) -> Path:
    """``log_path``, or ``<data_dir>.log`` when it is None."""
    return log_path or data_dir.with_name(data_dir.name + ".log")


def make_folder(folder: Path, make: Callable[[Path], None]) -> None:
    """Fill ``folder`` by ``make`` beside it, then rename: whoever is interrupted leaves no half.

    What a process left behind that is gone by now is removed.

    Args:
        folder: absent or empty; its parent is created. Another run may be quicker.
        make: is given a path that does not exist yet.
    """
    draft = folder.with_name(f"{folder.name}.{os.getpid()}.draft")
    draft.parent.mkdir(parents=True, exist_ok=True)
    for old in draft.parent.glob(f"{folder.name}.*.draft"):
        if old == draft or not psutil.pid_exists(int(old.suffixes[-2].removeprefix("."))):
            shutil.rmtree(old, ignore_errors=True)
    try:
        make(draft)
        try:
            draft.rename(folder)
        except OSError as failure:  # another run was quicker, and its folder is not empty
            if failure.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def run_to_end(
    command: Sequence[str],
    timeout_s: float,
    text: str = "",
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a program that ends by itself, with ``text`` on its standard input.

    Raises:
        ProcessError: it failed or took too long; the message ends with the program's own words.
    """
    try:
        done = subprocess.run(
            list(command),
            input=text,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProcessError(f"{' '.join(command[:3])} took over {timeout_s:g} s") from error
    if done.returncode != 0:
        words = (done.stdout + done.stderr).strip()[-2000:]
        raise ProcessError(f"{' '.join(command)} failed:\n{words}")
