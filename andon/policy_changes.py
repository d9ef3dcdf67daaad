"""Puts policies in force and takes them out: one way, for the prompt and for the console."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from andon.settings import Settings
from andon.wiring import brokers, signed_policies
from history.console_audit import Deed
from policies.errors import ChangedMeanwhileError
from streams.errors import UnavailableError
from streams.topics import POLICIES

if TYPE_CHECKING:
    from history.policy_log import AuditEntry, PolicyLog
    from policies.evaluate import ResolvedPolicy


@dataclass(frozen=True)
class PolicyChange:
    """What somebody wants in force, and instead of what."""

    policy: "ResolvedPolicy"
    replaces: str | None
    """Hash of the version that must still be in force; None where there must be none."""
    by: str
    reason: str
    softens: bool
    deed: Deed
    """The row of what people do, which a prompt writes as the console does."""
    source: str | None = None
    """The text of the policy, where it needs no other file."""
    still_wanted: Callable[[], Awaitable[object]] | None = None
    """Raises where it is not wanted any more; asked while nobody else changes the policy."""


async def put_in_force(settings: Settings, log: "PolicyLog", change: PolicyChange) -> "AuditEntry":
    """Store the body under its hash, publish, write the audit entry; in this order.

    Raises:
        ChangingNowError: somebody else changes the product's policy at this moment.
        ChangedMeanwhileError: another version is in force by now.
        PolicyError: signatures are asked for, and there is no key to sign with.
        RefusedRowError: an audit may not be written; nothing has changed.
        UnavailableError: before the publication nothing has changed and it can be run again;
            after it the message says that only the audit entry is missing.
    """
    from policies.publish import publish
    from streams.kafka.topic_admin import ensure_topics

    policy = change.policy
    product, now = policy.product_id, policy.policy_hash
    signer = signed_policies.policy_signer(settings)
    async with log.changing(product), brokers.publisher(settings) as publisher:
        await _must_stand(log, product, change.replaces)
        await log.require_audits()
        if change.still_wanted is not None:
            await change.still_wanted()
        await log.store_version(now, product, dict(policy.body), change.source)
        connection, wanted = brokers.kafka_connection(settings), brokers.topics_wanted(settings)
        await ensure_topics(connection, wanted, [POLICIES])
        after = await last_serial(settings, product) if signer else 0
        await publish(policy, publisher, change.by, change.reason, signer, after)
        try:
            return await log.append_audit(
                product,
                change.replaces,
                now,
                change.by,
                change.reason,
                change.softens,
                change.deed,
            )
        except UnavailableError as error:
            raise UnavailableError(
                f"the policy is in force, but its audit entry is missing: {error}; run this again"
            ) from error


async def take_out_of_force(
    settings: Settings,
    log: "PolicyLog",
    product: str,
    replaces: str,
    deed: Deed,
) -> "AuditEntry":
    """Withdraw a product's policy, and write the audit entry; every part of it is held then.

    Args:
        deed: the row of what people do; who does it, and why.

    Raises:
        ChangingNowError, ChangedMeanwhileError, PolicyError, UnavailableError: as of
            ``put_in_force``.
    """
    from policies.publish import withdraw

    signer = signed_policies.policy_signer(settings)
    async with log.changing(product), brokers.publisher(settings) as publisher:
        await _must_stand(log, product, replaces)
        await log.require_audits()
        after = await last_serial(settings, product) if signer else 0
        await withdraw(product, publisher, signer, after)
        try:
            return await log.append_audit(
                product, replaces, None, deed.actor, deed.reason, deed=deed
            )
        except UnavailableError as error:
            raise UnavailableError(
                f"the policy is withdrawn, but its audit entry is missing: {error}; run this again"
            ) from error


async def last_serial(settings: Settings, product: str) -> int:
    """A new signature must stand above the last one, whatever this host's clock says."""
    return (await signed_policies.policies_in_force(settings)).serials.get(product, 0)


async def _must_stand(log: "PolicyLog", product: str, expected: str | None) -> None:
    entry = await log.in_force(product)
    found = entry.to_hash if entry else None
    if found != expected:
        now = f"{found[:12]} by {entry.applied_by}" if found and entry else "none"
        raise ChangedMeanwhileError(
            f"the policy of {product!r} was changed meanwhile: {(expected or 'none')[:12]} was "
            f"looked at, and in force is {now}; compare with that one, and try again"
        )
