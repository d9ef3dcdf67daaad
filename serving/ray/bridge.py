"""The child process through which a worker reaches Ray: ``python -m serving.ray.bridge``.

Ray's client library ends its process on some failures of the cluster (a dead raylet during a
connect, a GCS that stays away), and cannot be reset within a process. A role that must decide
every part, Ray or no Ray, therefore keeps it out of its own process. ADR 0041.

Frames on the socket, big endian: requests ``id u32, target u8, timeout f32, length u32`` and the
call; answers ``id u32, status u8, length u32`` and the body. Id 0 with status 0 says "connected".
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import struct
import time
import warnings
from collections.abc import Sequence
from typing import Any, Final

from serving.ray.link import loopback_environment, reachable

REQUEST: Final = struct.Struct(">IBfI")
ANSWER: Final = struct.Struct(">IBI")
OK, FAILED = 0, 1
METHODS: Final = (
    ("VisionExpert", "score_many"),
    ("AnomalyClassifier", "classify_many"),
    ("AnomalyClassifier", "late_answers"),
)
"""Deployment and method by target number."""
EXIT_UNREACHABLE: Final = 75
"""The cluster is gone; the parent starts another child, which waits for it."""
WATCH_S: Final = 1.0
PAUSE_S: Final = 0.25
MAX_MESSAGE_BYTES: Final = 512 << 20
ENVIRONMENT: Final = {
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "10000",
    "RAY_SERVE_EVENT_LOOP_MONITORING_INTERVAL_S": "60",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_enable_metrics_collection": "0",
}
"""Set before ``import ray``: one event loop, rare metrics, large messages."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5


log = logging.getLogger(__name__)


class Bridge:
    """Forwards calls to deployment handles, and repeats them while their time lasts."""

    def __init__(self, application: str, writer: asyncio.StreamWriter) -> None:
        self._application, self._writer = application, writer
        self._handles: dict[int, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Until the parent closes the socket."""
        self.answer(0, OK, b"")
        while True:
            try:
                head = await reader.readexactly(REQUEST.size)
                number, target, timeout_s, length = REQUEST.unpack(head)
                body = await reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            task = asyncio.create_task(self._forward(number, target, timeout_s, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def answer(self, number: int, status: int, body: bytes) -> None:
        """Write one answer."""
        self._writer.write(ANSWER.pack(number, status, len(body)) + body)

    async def _forward(self, number: int, target: int, timeout_s: float, body: bytes) -> None:
        until = time.monotonic() + timeout_s
        pause = _FIRST_PAUSE_S
        problem = {"type": "TimeoutError", "message": "no replica answered in time"}
        while (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    result = await self._call(target, body, left)
                return self.answer(number, OK, result)
            except TimeoutError:
                break
            except Exception as error:  # noqa: BLE001 - every failure of Ray is worth a retry
                message = str(error).strip() or type(error).__name__
                problem = {"type": type(error).__name__, "message": message[-512:]}
                if not _worth_repeating(error):
                    break
            await asyncio.sleep(min(pause, max(0.0, until - time.monotonic())))
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        self.answer(number, FAILED, json.dumps(problem).encode())

    async def _call(self, target: int, body: bytes, left: float) -> bytes:
        handle = self._handles.get(target)
        if handle is None:
            handle = self._handles[target] = self._open(target)
        result: bytes = await handle.remote(body, left)
        return result

    def _open(self, target: int) -> Any:
        from ray import serve

        deployment, method = METHODS[target]
        handle = serve.get_deployment_handle(deployment, self._application)
        # gRPC to the replica instead of Ray's task path: 10.2 instead of 14.2 ms of CPU per call
        return handle.options(method_name=method, _by_reference=False)


def _worth_repeating(error: Exception) -> bool:
    """A replica that died, or is not up yet, may be there in a moment; a broken call is not."""
    from ray.exceptions import RayTaskError

    return not isinstance(error, RayTaskError)


async def _watch(addresses: Sequence[str]) -> None:
    """Return once one of ``addresses`` has refused twice in a row: the cluster is gone."""
    refused = 0
    while refused < 2:
        await asyncio.sleep(WATCH_S)
        alive = await asyncio.to_thread(lambda: all(reachable(a) for a in addresses))
        refused = 0 if alive else refused + 1


def _connect(address: str, namespace: str) -> list[str]:
    """Connect this process; the addresses that must stay reachable."""
    while not reachable(address):  # before the import of Ray, which costs two seconds of CPU
        time.sleep(PAUSE_S)
    os.environ.update({**ENVIRONMENT, **loopback_environment(address)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        from ray import serve  # noqa: F401 - slow: before the parent is told that we are ready
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    while not _raylet_is_up(address):  # ray.init would abort the process
        time.sleep(PAUSE_S)
    ray.init(address, namespace=namespace, log_to_driver=False, logging_level="error")
    mine = ray.get_runtime_context().get_node_id()
    nodes = [n for n in ray.nodes() if n["NodeID"] == mine]
    return [address, *(f"{n['NodeManagerAddress']}:{n['NodeManagerPort']}" for n in nodes)]


def _raylet_is_up(address: str) -> bool:
    """Whether a raylet of this host that the GCS calls alive takes connections."""
    from ray._private.services import _get_gcs_client_options
    from ray._private.state import GlobalState

    state = GlobalState()
    try:
        state._initialize_global_state(_get_gcs_client_options(address))
        nodes = [node for node in state.node_table() if node["Alive"]]
    except Exception as error:  # noqa: BLE001 - a GCS that is coming up or going down
        log.debug("the GCS at %s: %s", address, error)
        return False
    return any(_accepts(node["RayletSocketName"]) for node in nodes)


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


async def _run(options: argparse.Namespace, watched: Sequence[str]) -> int:
    sock = socket.socket(fileno=options.fd)
    reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 20)
    serving = asyncio.create_task(Bridge(options.application, writer).serve(reader))
    watching = asyncio.create_task(_watch(watched))
    done, _ = await asyncio.wait({serving, watching}, return_when=asyncio.FIRST_COMPLETED)
    return EXIT_UNREACHABLE if watching in done else 0


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.ray.bridge", description=__doc__)
    parser.add_argument("--address", required=True, help="host:port of the Ray head")
    parser.add_argument("--application", required=True)
    parser.add_argument("--namespace", default="andon")
    parser.add_argument("--fd", type=int, required=True, help="the socket to the parent")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    watched = _connect(options.address, options.namespace)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    code = asyncio.run(_run(options, watched))
    # Ray's own shutdown waits for a cluster that may be gone
    os._exit(code)


if __name__ == "__main__":
    _main()
