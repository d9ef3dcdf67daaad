"""A local stack whose broker is a cluster of Apache Kafka, so that leaders can be killed."""

from dataclasses import dataclass

from andon.stack.local import LocalStack
from infra.stack.kafka_cluster import KafkaCluster, start_kafka_cluster
from infra.stack.process import free_port
from infra.stack.server import LocalServer
from streams.principals import Role


@dataclass
class ClusteredStack(LocalStack):
    """``LocalStack`` with several brokers; each topic has a copy on three of them."""

    brokers: int = 3

    def _sections(self, role: Role | None) -> dict[str, dict[str, str | int]]:
        sections = super()._sections(role)
        broker = self.components.get("broker")
        if isinstance(broker, KafkaCluster):
            sections["kafka"]["bootstrap_servers"] = broker.bootstrap_servers
        sections["kafka"]["replication_factor"] = min(3, self.brokers)
        return sections

    def _start_broker(self) -> LocalServer:
        """The cluster; after a kill those of its brokers that are gone."""
        running = self.components.get("broker")
        if isinstance(running, KafkaCluster):
            return running.revive()
        port = self.ports.broker or free_port()
        return start_kafka_cluster(self.folder / "kafka", port, self.brokers)
