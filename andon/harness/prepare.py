"""What a fresh stack needs before the first part: topics, schema, bucket, policies in force."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from andon.settings import Settings

if TYPE_CHECKING:
    from policies.evaluate import ResolvedPolicy


async def prepare(settings: Settings, policies: Sequence["ResolvedPolicy"], who: str) -> None:
    """Create what is missing and put ``policies`` in force; may be run again."""
    from connectors.kafka import KafkaPublisher
    from history import migrate
    from history.policy_log import PolicyLog
    from policies.publish import publish
    from streams.agents.topics_admin import ensure_topics

    kafka, url = settings.kafka, settings.postgres.url.get_secret_value()
    await ensure_topics(kafka.bootstrap_servers, kafka.replication_factor)
    await migrate.upgrade(url)
    publisher = KafkaPublisher(kafka.bootstrap_servers, idempotent=kafka.idempotent_producer)
    log = PolicyLog(url)
    await publisher.start()
    try:
        for policy in policies:
            await log.store_version(policy.policy_hash, policy.product_id, dict(policy.body))
            await publish(policy, publisher, who, "prepared by the harness")
    finally:
        await publisher.stop()
        await log.close()
