"""MinIO on loopback, built with this machine's Go: the object store that a plant runs.

For the contract tests of the image store; the embedded S3 serves everything else
(``docs/adr/0053-apache-kafka-and-minio-for-real.md``).

    python -m infra.stack.minio_local              # build the program, print its path
"""

import os
import shutil
import sys
from pathlib import Path

from infra.stack.process import Process, ProcessError, answers_http
from infra.stack.s3_local import LocalS3
from infra.stack.server import HOST, launch, log_beside, make_folder, run_to_end, take_port

CACHE = Path(__file__).parents[1] / ".venvs" / "minio"
"""Where the program is kept between runs; ignored by git."""
MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
"""MinIO tags its releases outside of Go's scheme: this is what ``@latest`` stood for."""
BUILD_TIMEOUT_S = 1800.0
_READY_S = 60.0


def minio_available(cache: Path = CACHE) -> str:
    """Why MinIO cannot run here; empty when it can (once it is built)."""
    if minio_is_built(cache) or shutil.which("go") is not None:
        return ""
    return "no `go` on the path: install Go, it builds MinIO"


def minio_is_built(cache: Path = CACHE) -> bool:
    """Whether ``build_minio`` has nothing left to do."""
    return _program(cache).is_file()


def build_minio(cache: Path = CACHE) -> Path:
    """The program; built with ``go install`` when absent: 300 modules, minutes.

    Raises:
        ProcessError: no Go, or the build failed or took too long; the message ends with its words.
    """
    program = _program(cache)
    if program.is_file():
        return program
    go = shutil.which("go")
    if go is None:
        raise ProcessError(minio_available(cache))

    def make(draft: Path) -> None:
        draft.mkdir()
        env = {**os.environ, "GOBIN": str(draft)}
        run_to_end([go, "install", MODULE], BUILD_TIMEOUT_S, env=env)

    make_folder(program.parent, make)
    return program


def start_minio(
    data_dir: Path,
    port: int | None = None,
    access_key: str = "andon",
    secret_key: str = "andon-local-only",  # noqa: S107 - a test's server, on loopback
    log_path: Path | None = None,
    tethered: bool = True,
    cache: Path = CACHE,
) -> LocalS3:
    """Serve ``data_dir`` (created) as S3 and return once it takes connections.

    Args:
        data_dir: the folder of the store; MinIO's own format.
        port: TCP port on 127.0.0.1; None takes a free one.
        access_key: of the root user; at least 3 characters.
        secret_key: its secret; at least 8 characters. Both go through the environment.
        log_path: where its output is appended; None: ``<data_dir>.log``.
        tethered: whether it ends with the thread that called.
        cache: where ``build_minio`` keeps the program.

    Raises:
        ProcessError: not to be built, the port is in use, or it did not come up.
    """
    program = build_minio(cache)
    data_dir = data_dir.resolve()
    chosen = take_port(port, "ANDON_S3__ENDPOINT")
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [str(program), "server", "--quiet", "--address", f"{HOST}:{chosen}"]
    command += ["--console-address", f"{HOST}:0", str(data_dir)]
    env = {
        "MINIO_ROOT_USER": access_key,
        "MINIO_ROOT_PASSWORD": secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
    }

    def is_ready(_: Process) -> bool:
        """MinIO's own check: it listens, and calls itself ready, before its buckets are there."""
        return answers_http(chosen, "/minio/health/cluster")

    log = log_beside(data_dir, log_path)
    process = launch("minio", command, log, is_ready, _READY_S, env, tethered)
    return LocalS3(process, chosen, data_dir, access_key, secret_key)


def _program(cache: Path) -> Path:
    """Named by its version: another version is another file."""
    return cache.resolve() / MODULE.rpartition("-")[2] / "minio"


if __name__ == "__main__":
    sys.stdout.write(f"{build_minio()}\n")
