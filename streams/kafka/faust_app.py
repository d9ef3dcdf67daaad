"""The Faust application of a role."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.kafka.connection import KafkaConnection
from streams.topics import Topic

DAY_S = 86_400.0


@dataclass(frozen=True)
class BusConfig:
    """How a role's Faust app takes part in its consumer group."""

    connection: KafkaConnection
    state: Path
    """Folder for Faust's data directory."""
    instance: str | None = "0"
    """Stable name among the workers of the role (static membership); None joins dynamically."""
    session_timeout_s: float = 6.0
    heartbeat_s: float = 1.0
    rebalance_timeout_s: float = 10.0
    commit_interval_s: float = 0.5
    """Seconds between commits: what a killed worker did since the last one is done again."""


def app_id(role: str) -> str:
    """Faust app id and consumer group of a role."""
    return f"andon-{role}"


def create_app(role: str, bus: BusConfig, buffered_events: int) -> Any:
    """A Faust app with the limits, sessions and adapter that the line needs; not started.

    Values and keys are raw bytes; topics are created by ``streams.kafka.topic_admin``, never by
    Faust; no web server, no tables, no leader topic.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import faust

        from streams.kafka.faust_adapter import BoundedTransport, NoTables
    member = None if bus.instance is None else f"{app_id(role)}-{bus.instance}"
    datadir = bus.state / "faust" / (member or app_id(role))
    datadir.mkdir(parents=True, exist_ok=True)
    connection = bus.connection
    settings = connection.faust_settings() | {
        "broker_request_timeout": max(connection.request_timeout_s, bus.session_timeout_s)
    }
    app = faust.App(
        app_id(role),
        **settings,
        broker_client_id=member or app_id(role),
        datadir=str(datadir),
        store="memory://",
        TableManager=NoTables,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_group_instance_id=member,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=bus.session_timeout_s,
        broker_heartbeat_interval=bus.heartbeat_s,
        broker_rebalance_timeout=bus.rebalance_timeout_s,
        broker_max_poll_interval=DAY_S,
        broker_commit_interval=bus.commit_interval_s,
        stream_buffer_maxsize=buffered_events,
        table_standby_replicas=0,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
    )
    transport = BoundedTransport(app.conf.broker_consumer, app)
    transport.fetch_max_wait_ms = connection.fetch_max_wait_ms
    transport.idempotent_producer = connection.idempotent_producer
    app.transport = app.producer_transport = transport
    return app


def faust_topic(app: Any, topic: Topic) -> Any:
    """A topic as Faust's agents read it: raw keys and values, created elsewhere."""
    return app.topic(
        topic.name, key_serializer="raw", value_serializer="raw", internal=False, allow_empty=True
    )
