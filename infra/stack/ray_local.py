"""A local Ray head for the embedded stack: loopback only, no autoscaler, small object store.

Several can run side by side: each has its ports, its folder and its own process tree, and is
stopped by that tree (``ray stop`` would end every Ray of the machine).
"""

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.stack.process import Process, ProcessError, free_port, port_is_open
from infra.stack.server import HOST, LocalServer, launch, take_port

OBJECT_STORE_BYTES = 256 << 20
"""Frames travel inside calls, not through the object store."""
MAX_TEMP_DIR = 40
"""Ray puts Unix sockets 60 characters below it; the system's limit is 107."""
_STARTED = b"Ray runtime started"
_TOO_SLOW = "timed out during startup"
"""Ray gives its raylet 30 s, fixed: too little on a machine that does much else. Tried twice."""

QUIET_ENV: Mapping[str, str] = {
    # The node's address is 127.0.0.1 and not the host's first interface.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Serve's replicas unpickle what they are sent, on every interface: nothing without the token.
    "RAY_AUTH_MODE": "token",
    # The line's own deadlines cover a stop; draining would add up to 30 s to each.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    # What follows took CPU beside the expert from 18.5 to 8 ms per frame (docs/serving.md).
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "10000",
    "RAY_SERVE_EVENT_LOOP_MONITORING_INTERVAL_S": "60",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(512 << 20),
    "RAY_task_events_report_interval_ms": "0",
    "RAY_metrics_report_interval_ms": "60000",
    "RAY_enable_metrics_collection": "0",
    # Figures for whoever asks: there is no such port, so that it does not listen.
    "DASHBOARD_METRIC_PORT": "65536",
    "RAY_enable_timeline": "0",
    "RAY_event_stats": "0",
    # a replica is not background work: 15, the default, starves it beside anything else
    "RAY_worker_niceness": "0",
    "RAY_num_workers_soft_limit": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "1000",
}
"""Environment of the head: no telemetry of Ray's own, calls of up to 512 MiB."""


@dataclass
class LocalRay(LocalServer):
    """A running head; ``address`` is that of its GCS, which drivers connect to."""

    dashboard_port: int | None
    token_file: Path
    """What a caller must say; only this user may read it."""
    temp_dir: Path

    @property
    def rest_address(self) -> str:
        """What ``serve deploy --address`` takes.

        Raises:
            ProcessError: the head was started without it.
        """
        if self.dashboard_port is None:
            raise ProcessError("this Ray was started without its REST API: pass dashboard_port")
        return f"http://{HOST}:{self.dashboard_port}"

    @property
    def temporary_folder(self) -> Path | None:
        """Ray's sessions and logs."""
        return self.temp_dir

    def stop(self) -> None:
        """End the head and everything below it; remove its folder. May be called twice."""
        super().stop()
        shutil.rmtree(self.temp_dir, ignore_errors=True)


def start_ray(
    port: int | None = None,
    dashboard_port: int | None = None,
    token_file: Path | None = None,
    num_cpus: int = 8,
    env: Mapping[str, str] | None = None,
    log_path: Path | None = None,
    tethered: bool = True,
    ready_timeout_s: float = 180.0,
) -> LocalRay:
    """Start a head and return once its node is registered.

    Args:
        port: of the GCS; None takes a free one.
        dashboard_port: of the dashboard and its REST API, which ``serve deploy`` needs; None
            starts neither (ten processes and about 2 % of a core less).
        token_file: holds the token without which nobody is answered, and is written unless it is
            there; None keeps it in the folder of the sessions.
        num_cpus: CPUs that Ray believes in: a budget of replicas, not of cores.
        env: more environment for the head and for every replica.
        log_path: output of the head; None: in the folder of the sessions.
        tethered: the head ends with the thread that called, even when its process is killed.
        ready_timeout_s: seconds to wait for one attempt.

    Raises:
        ProcessError: a port is taken, the folder's name is too long, or it did not come up.
    """
    gcs = take_port(port, "ANDON_SERVE__ADDRESS")
    if dashboard_port is not None:
        take_port(dashboard_port, "--dashboard-port")
    ports = [p for p in (gcs, dashboard_port) if p is not None]
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    log_file = log_path or folder / "head.log"
    token = (token_file or folder / "token").absolute()
    environment = {
        **QUIET_ENV,
        "RAY_AUTH_TOKEN_PATH": str(token),
        **(env or {}),
    }
    before = log_file.stat().st_size if log_file.exists() else 0

    def started(_: Process) -> bool:
        with log_file.open("rb") as log:
            log.seek(before)
            said = _STARTED in log.read()
        return said and all(port_is_open(port) for port in ports)

    def start() -> Process:
        command = _command(gcs, dashboard_port, folder, num_cpus)
        return launch("ray", command, log_file, started, ready_timeout_s, environment, tethered)

    try:
        if len(str(folder)) > MAX_TEMP_DIR:
            raise ProcessError(
                f"{folder}: {len(str(folder))} characters; Ray's sockets allow {MAX_TEMP_DIR}: "
                "set TMPDIR to a shorter folder, such as /tmp"
            )
        _make_token(token)
        try:
            process = start()
        except ProcessError as error:
            if _TOO_SLOW not in str(error):
                raise
            process = start()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return LocalRay(process, gcs, dashboard_port, token, folder)


def _make_token(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))


def _command(port: int, dashboard_port: int | None, folder: Path, num_cpus: int) -> list[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += ["--node-ip-address", HOST, "--port", str(port), "--temp-dir", str(folder)]
    command += ["--num-cpus", str(num_cpus), "--object-store-memory", str(OBJECT_STORE_BYTES)]
    command += ["--disable-usage-stats", "--no-monitor", "--include-log-monitor", "false"]
    # any free ports: the defaults, 10002 to 19999, are where our own servers live
    command += ["--min-worker-port", "0", "--max-worker-port", "0"]
    command += ["--dashboard-agent-listen-port", "0", "--ray-client-server-port", str(free_port())]
    command += ["--include-dashboard", "false" if dashboard_port is None else "true"]
    if dashboard_port is not None:
        command += ["--dashboard-host", HOST, "--dashboard-port", str(dashboard_port)]
    return command
