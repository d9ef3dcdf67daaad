"""Puts a policy in force with one message on the compacted topic."""

from datetime import UTC, datetime

from policies.evaluate import ResolvedPolicy
from streams.envelope import to_message
from streams.events import PolicyInForce
from streams.ports import Publisher
from streams.topics import POLICIES


async def publish(
    policy: ResolvedPolicy, publisher: Publisher, applied_by: str, reason: str
) -> PolicyInForce:
    """Publish and return what was published; workers switch between two parts.

    The body must be in the database under its hash before (``andon policy apply`` sees to that).

    Raises:
        UnavailableError: the broker did not take it in time; nothing changed.
    """
    event = PolicyInForce(
        product_id=policy.product_id,
        policy_hash=policy.policy_hash,
        body=dict(policy.body),
        applied_by=applied_by,
        reason=reason,
        applied_at=datetime.now(UTC),
    )
    await publisher.send(POLICIES.name, to_message(event))
    return event
