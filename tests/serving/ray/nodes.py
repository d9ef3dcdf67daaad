"""A further node of a local Ray: another raylet with its own workers, on the same machine.

``python -m tests.serving.ray.nodes GCS CPUS`` is that node. ``ray start --address`` would do on a
network; on loopback it insists on the address of the first interface.
"""

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra.stack.process import Process
from infra.stack.ray_local import OBJECT_STORE_BYTES, QUIET_ENV, LocalRay
from infra.stack.server import HOST, launch

_STARTED = "node started"


@contextmanager
def further_node(head: LocalRay, num_cpus: int) -> Iterator[Process]:
    """A node of ``head``'s cluster for as long as it lasts; it says the head's token."""
    command = [sys.executable, "-m", "tests.serving.ray.nodes", head.address, str(num_cpus)]
    environment = {**QUIET_ENV, "RAY_AUTH_TOKEN_PATH": str(head.token_file)}
    with tempfile.TemporaryDirectory(prefix="ray-node-") as folder:
        log = Path(folder) / "node.log"
        node = launch(
            "ray node", command, log, lambda _: _STARTED in log.read_text(), 180, environment
        )
        try:
            yield node
        finally:
            node.stop()


def kill_node(node: Process) -> None:
    """SIGKILL to all that runs on it, as when its machine loses power."""
    started = psutil.Process(node.pid)
    for process in [started, *started.children(recursive=True)]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _run(address: str, num_cpus: int) -> None:
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    settings = RayParams(
        node_ip_address=HOST,
        gcs_address=address,
        num_cpus=num_cpus,
        object_store_memory=OBJECT_STORE_BYTES,
        min_worker_port=0,
        max_worker_port=0,
        node_manager_port=0,
        dashboard_agent_listen_port=None,
        include_log_monitor=False,
    )
    Node(settings, head=False, shutdown_at_exit=True, spawn_reaper=True)
    sys.stdout.write(_STARTED + "\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]))
