"""The Faust application of a role."""

import warnings
from typing import Any

from streams.roles.config import RoleConfig
from streams.topics import MAX_FETCH_BYTES, MAX_MESSAGE_BYTES, MIB, Topic

DAY_S = 86_400.0
BATCH_BYTES = MIB
"""What waits for a partition travels together: one round trip each would bound a burst."""


def app_id(role: str) -> str:
    """Faust app id and consumer group of a role."""
    return f"andon-{role}"


def create_app(config: RoleConfig) -> Any:
    """A Faust app with the limits, sessions and adapter that the line needs; not started.

    Values and keys are raw bytes; topics are created by ``streams.kafka.topic_admin``, never by
    Faust; no web server, no tables, no leader topic.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import faust

        from streams.kafka.faust_transport import BoundedTransport, NoTables
    bus = config.bus
    hosts = [host.strip() for host in bus.bootstrap_servers.split(",") if host.strip()]
    member = None if bus.instance is None else f"{app_id(config.role)}-{bus.instance}"
    datadir = bus.state / "faust" / (member or app_id(config.role))
    datadir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        app_id(config.role),
        broker=";".join(f"kafka://{host}" for host in hosts),
        broker_client_id=member or app_id(config.role),
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
        consumer_max_fetch_size=MAX_FETCH_BYTES,
        producer_max_request_size=MAX_MESSAGE_BYTES,
        producer_max_batch_size=BATCH_BYTES,
        producer_acks=-1,
        producer_request_timeout=bus.request_timeout_s,
        broker_request_timeout=max(bus.request_timeout_s, bus.session_timeout_s),
        broker_session_timeout=bus.session_timeout_s,
        broker_heartbeat_interval=bus.heartbeat_s,
        broker_rebalance_timeout=bus.rebalance_timeout_s,
        broker_max_poll_interval=DAY_S,
        broker_commit_interval=bus.commit_interval_s,
        stream_buffer_maxsize=4 * config.flow.in_flight_events,
        table_standby_replicas=0,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
    )
    transport = BoundedTransport(app.conf.broker_consumer, app)
    transport.fetch_max_wait_ms = bus.fetch_max_wait_ms
    transport.idempotent_producer = bus.idempotent_producer
    app.transport = app.producer_transport = transport
    return app


def faust_topic(app: Any, topic: Topic) -> Any:
    """A topic as Faust's agents read it: raw keys and values, created elsewhere."""
    return app.topic(
        topic.name, key_serializer="raw", value_serializer="raw", internal=False, allow_empty=True
    )
