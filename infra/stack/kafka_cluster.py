"""Several Apache Kafka brokers on loopback, each broker and controller: leaders can be killed.

Topics of three copies stay writable while one of three brokers is away.
"""

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from infra.stack import kafka_local
from infra.stack.broker import Broker, alive_brokers
from infra.stack.process import Process, ProcessError, free_port
from infra.stack.server import HOST, run_to_end
from streams.topics import MAX_FETCH_BYTES, MAX_MESSAGE_BYTES


@dataclass
class KafkaCluster(Broker):
    """The brokers of one cluster. ``kill`` takes one at a time in turn: each leads some partitions.

    ``process`` and ``port`` are those of the first.
    """

    folder: Path
    ports: tuple[int, ...]
    commands: tuple[tuple[str, ...], ...]
    nodes: list[Process] = field(default_factory=list)
    killed: int = 0

    @property
    def bootstrap_servers(self) -> str:
        """Every broker, for clients that must find one."""
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def kill(self) -> None:
        """``kill -9`` of the next broker."""
        self.nodes[self.killed % len(self.nodes)].kill()
        self.killed += 1

    def revive(self) -> "KafkaCluster":
        """Start those that are gone; returns once every broker knows of all.

        Raises:
            ProcessError: one did not come back.
        """
        for index, node in enumerate(self.nodes):
            if not node.running:
                self.nodes[index] = _launched(self.folder, index, self.commands[index])
        self.process = self.nodes[0]
        for node in self.nodes:
            node.wait_ready(self._is_whole, kafka_local.READY_S)
        return self

    def _is_whole(self) -> bool:
        return all(alive_brokers(port) == len(self.ports) for port in self.ports)

    def stop(self) -> None:
        """End them together, so that none waits for another's vote. May be called twice."""
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            for node in self.nodes:
                threads.submit(node.stop, 20.0)


def start_kafka_cluster(folder: Path, port: int, count: int = 3) -> KafkaCluster:
    """Format and start so many brokers below ``folder``; return once all know each other.

    Args:
        folder: of the cluster; must not hold one yet.
        port: of the first broker on loopback; the others take free ones.
        count: brokers, each of them a voter too.

    Raises:
        ProcessError: no Java or jars, or a broker did not come up.
    """
    if reason := kafka_local.kafka_available():
        raise ProcessError(f"Apache Kafka cannot run here: {reason}")
    java = kafka_local._java(kafka_local.fetch_kafka())
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    ports = (port, *(free_port() for _ in range(count - 1)))
    controllers = [free_port() for _ in range(count)]
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
    commands = []
    for index in range(count):
        settings = _settings(folder, index, ports, controllers)
        words = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)]
        run_to_end([*java, *words], 120.0)
        commands.append((*java, "kafka.Kafka", str(settings)))
    nodes = [_launched(folder, index, command) for index, command in enumerate(commands)]
    made = KafkaCluster(nodes[0], port, folder, ports, tuple(commands), nodes)
    try:
        return made.revive()
    except BaseException:
        made.stop()
        raise


def _settings(folder: Path, index: int, ports: Sequence[int], controllers: Sequence[int]) -> Path:
    path, own = folder / f"node{index + 1}.properties", ports[index]
    copies = min(3, len(ports))
    settings = {
        "node.id": index + 1,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MAX_FETCH_BYTES,
        "log.dirs": folder / f"node{index + 1}",
        "listeners": f"CLIENTS://{HOST}:{own},CONTROLLER://{HOST}:{controllers[index]}",
        "advertised.listeners": f"CLIENTS://{HOST}:{own}",
        "controller.quorum.voters": ",".join(
            f"{number}@{HOST}:{port}" for number, port in enumerate(controllers, 1)
        ),
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "share.coordinator.state.topic.replication.factor": copies,
        "min.insync.replicas": max(1, copies - 1),
    }
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    shipped = (kafka_local._FILES / "server.properties").read_text()
    path.write_text(shipped + text)
    return path


def _launched(folder: Path, index: int, command: Sequence[str]) -> Process:
    return Process(f"kafka{index + 1}", command, folder / f"node{index + 1}.log")
