"""Puts a policy in force with one message on the compacted topic."""

from datetime import UTC, datetime

from policies.evaluate import ResolvedPolicy
from policies.signing import Signer
from streams.envelope import Message, to_message
from streams.events import PolicyInForce
from streams.ports import Publisher
from streams.topics import POLICIES


async def publish(
    policy: ResolvedPolicy,
    publisher: Publisher,
    applied_by: str,
    reason: str,
    signer: Signer | None = None,
    after: int = 0,
) -> PolicyInForce:
    """Publish and return what was published; workers switch between two parts.

    The body must be in the database under its hash before (``andon policy apply`` sees to that).

    Args:
        signer: signs it; None where policies need no signature.
        after: the highest serial of the product so far.

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
    message = to_message(event)
    await publisher.send(POLICIES.name, signer.sign(message, after) if signer else message)
    return event


async def withdraw(
    product_id: str, publisher: Publisher, signer: Signer | None = None, after: int = 0
) -> None:
    """Take a product's policy out of force: every part of it is held from then on.

    Raises:
        UnavailableError: the broker did not take it in time; nothing changed.
    """
    message = Message(product_id.encode(), b"", ())
    await publisher.send(POLICIES.name, signer.sign(message, after) if signer else message)
