"""What a fresh stack needs before the first part: topics, schema, bucket, policies in force."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from andon.deeds import declared_deed
from andon.settings import Settings
from andon.wiring import brokers, opened, signed_policies, storage
from console.policies.requests import APPLY

if TYPE_CHECKING:
    from policies.evaluate import ResolvedPolicy

WHY = "prepared for a run"


async def prepare(settings: Settings, policies: Sequence["ResolvedPolicy"], who: str) -> None:
    """Create what is missing and put ``policies`` in force; may be run again."""
    from history import migrate
    from history.bi import apply_bi
    from policies.publish import publish
    from streams.kafka.topic_admin import ensure_topics

    url = settings.postgres.url.get_secret_value()
    await ensure_topics(brokers.kafka_connection(settings), brokers.topics_wanted(settings))
    await migrate.upgrade(url)
    await apply_bi(url, settings.plant)
    async with opened(storage.image_store, settings) as images:
        await images.ensure_bucket()
    signer = signed_policies.policy_signer(settings)
    serials = (await signed_policies.policies_in_force(settings)).serials if signer else {}
    async with (
        opened(storage.policy_log, settings) as log,
        brokers.publisher(settings) as publisher,
    ):
        for policy in policies:
            product, now = policy.product_id, policy.policy_hash
            before = await log.in_force(product)
            await log.store_version(now, product, dict(policy.body))
            await publish(policy, publisher, who, WHY, signer, serials.get(product, 0))
            if before is None or before.to_hash != now:
                old = before.to_hash if before is not None else None
                deed = declared_deed(APPLY, product, who, WHY, old or "", now)
                await log.append_audit(product, old, now, who, WHY, deed=deed)
