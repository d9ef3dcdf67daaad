"""What ``andon policy`` asks of the database and the broker."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from andon import wiring
from andon.settings import load_settings
from streams.errors import AndonError

if TYPE_CHECKING:
    from history.policy_log import AuditEntry, PolicyLog
    from history.records import RecordedDecision
    from policies.evaluate import ResolvedPolicy
    from policies.review.backtest import BacktestReport
    from streams.codes import Severity
    from streams.events import Decision
    from streams.ports import Situation


class NoSuchPolicyError(AndonError):
    """A word that is neither a policy file nor the hash of a stored version."""


@asynccontextmanager
async def _log() -> "AsyncIterator[PolicyLog]":
    async with wiring.opened(wiring.policy_log, load_settings()) as log:
        yield log


async def version(policy_hash: str) -> "ResolvedPolicy":
    """A stored version by its hash or the beginning of it."""
    async with _log() as log:
        return await _version(log, policy_hash)


async def _version(log: "PolicyLog", policy_hash: str) -> "ResolvedPolicy":
    from policies.evaluate import ResolvedPolicy

    found = await log.get_version(policy_hash)
    return ResolvedPolicy.from_body(found.body, found.policy_hash)


async def in_force(product: str) -> "ResolvedPolicy | None":
    """What was applied last; None when the product never had a policy."""
    async with _log() as log:
        entry = await log.in_force(product)
        return await _version(log, entry.to_hash) if entry else None


async def audit(product: str | None, limit: int) -> "list[AuditEntry]":
    """The changes of the policies in force, the latest first."""
    async with _log() as log:
        return await log.list_log(product, limit)


@dataclass(frozen=True)
class VersionChange:
    """One version to put in force."""

    policy: "ResolvedPolicy"
    replaces: "ResolvedPolicy | None"
    by: str
    reason: str
    softening: bool


async def put_in_force(change: VersionChange) -> "AuditEntry":
    """Store the body under its hash, publish, write the audit entry; in this order.

    Raises:
        UnavailableError: before the publication nothing has changed and it can be run again;
            after it the message says that only the audit entry is missing.
    """
    from policies.publish import publish
    from streams.errors import UnavailableError
    from streams.kafka.topic_admin import ensure_topics
    from streams.topics import POLICIES

    settings, policy = load_settings(), change.policy
    connection, copies = wiring.kafka_connection(settings), settings.kafka.replication_factor
    async with _log() as log, wiring.publisher(settings) as publisher:
        await log.store_version(policy.policy_hash, policy.product_id, dict(policy.body))
        await ensure_topics(connection, copies, [POLICIES])
        await publish(policy, publisher, change.by, change.reason)
        before = change.replaces.policy_hash if change.replaces else None
        try:
            return await log.append_audit(
                policy.product_id,
                before,
                policy.policy_hash,
                change.by,
                change.reason,
                change.softening,
            )
        except UnavailableError as error:
            raise UnavailableError(
                f"the policy is in force, but its audit entry is missing: {error}; run this again"
            ) from error


async def recorded_since(
    product: str, since: timedelta
) -> "AsyncGenerator[tuple[RecordedDecision, Severity | None], None]":
    """The effective decisions on a product, oldest first, each with what a person found."""
    from history.filters import FrameFilter
    from streams.codes import Severity

    wanted = FrameFilter(product=product, since=datetime.now(UTC) - since)
    async with (
        wiring.opened(wiring.history, load_settings()) as history,
        aclosing(history.stream_decisions(wanted)) as rows,
    ):
        async for row in rows:
            yield row, Severity(row.review.severity) if row.review else None


async def backtest_history(
    candidate: "ResolvedPolicy", since: timedelta, advance: Callable[[], None]
) -> "BacktestReport":
    """Fold a candidate over the recorded decisions of its product."""
    from policies.review.backtest import Backtest

    fold = Backtest(candidate, await _versions(candidate.product_id))
    async with aclosing(recorded_since(candidate.product_id, since)) as rows:
        async for row, found in rows:
            fold.add(row, found)
            advance()
    return fold.report


async def known_versions(product: str) -> "dict[str, ResolvedPolicy]":
    """Versions to compare texts with: the products' files, and the database if it answers."""
    from policies.authoring.loading import load_policy
    from policies.errors import PolicyError

    found: dict[str, ResolvedPolicy] = {}
    for path in sorted(load_settings().paths.policies.glob("*.yaml")):
        with suppress(PolicyError):
            policy = load_policy(path)
            found[policy.policy_hash] = policy
    with suppress(AndonError):
        found |= await _versions(product)
    return found


async def _versions(product: str) -> "dict[str, ResolvedPolicy]":
    """Every version the product ever had, for the comparison of texts."""
    async with _log() as log:
        hashes = {entry.to_hash for entry in await log.list_log(product, 1000)}
        return {found: await _version(log, found) for found in sorted(hashes)}


@dataclass(frozen=True)
class RecordedFrame:
    """The effective decision of a frame."""

    event: Mapping[str, object]
    """The event as it was recorded."""
    decision: "Decision"
    situation: "Situation | None"
    """What the policy was asked; None when none was."""


async def recorded_frame(words: str) -> RecordedFrame:
    """The frame of that id, or of the part with that serial number, seen once."""
    from policies.review.replay import situation_of
    from streams.events import Decision

    async with wiring.opened(wiring.history, load_settings()) as history:
        story = await history.show(await history.resolve(words))
    effective = str(story.effective.result_id) if story.effective else ""
    chosen = next((d for d in story.decisions if str(d["result_id"]) == effective), None)
    if chosen is None:
        raise NoSuchPolicyError(f"frame {story.frame_id} has no decision yet")
    decision = Decision.model_validate(chosen)
    return RecordedFrame(chosen, decision, situation_of(decision))
