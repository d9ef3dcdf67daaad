"""What a fresh stack needs before the first part: topics, schema, bucket, policies in force."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from andon.settings import Settings

if TYPE_CHECKING:
    from policies.evaluate import ResolvedPolicy

WHY = "prepared for a run"


async def prepare(settings: Settings, policies: Sequence["ResolvedPolicy"], who: str) -> None:
    """Create what is missing and put ``policies`` in force; may be run again."""
    from andon.wiring import image_store
    from history import migrate
    from history.policy_log import PolicyLog
    from policies.publish import publish
    from streams.kafka.connection import KafkaConnection
    from streams.kafka.publisher import KafkaPublisher
    from streams.kafka.topic_admin import ensure_topics

    kafka, url = settings.kafka, settings.postgres.url.get_secret_value()
    await ensure_topics(
        kafka.bootstrap_servers, kafka.replication_factor, partitions=kafka.partitions
    )
    await migrate.upgrade(url)
    images = image_store(settings)
    await images.ensure_bucket()
    await images.close()
    publisher = KafkaPublisher(
        KafkaConnection(
            kafka.bootstrap_servers,
            request_timeout_s=kafka.request_timeout_s,
            idempotent_producer=kafka.idempotent_producer,
        )
    )
    log = PolicyLog(url)
    try:
        for policy in policies:
            product, now = policy.product_id, policy.policy_hash
            before = await log.in_force(product)
            await log.store_version(now, product, dict(policy.body))
            await publish(policy, publisher, who, WHY)
            if before is None or before.to_hash != now:
                old = before.to_hash if before is not None else None
                await log.append_audit(product, old, now, who, WHY)
    finally:
        await publisher.stop()
        await log.close()
