"""Joins the policies with the database and the broker. Used by ``andon policy`` only."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from andon import wiring
from andon.settings import Settings
from streams.errors import AndonError

if TYPE_CHECKING:
    from history.policy_log import AuditEntry, PolicyLog
    from history.records import RecordedDecision
    from policies.evaluate import ResolvedPolicy
    from policies.review.backtest import BacktestReport
    from streams.ports import Situation

T = TypeVar("T")


class NoSuchPolicyError(AndonError):
    """A word that is neither a policy file nor the hash of a stored version."""


def run(work: Awaitable[T]) -> T:
    """Run one coroutine to its end."""

    async def body() -> T:
        return await work

    return asyncio.run(body())


async def version(settings: Settings, policy_hash: str) -> "ResolvedPolicy":
    """A stored version by its hash or the beginning of it."""
    async with wiring.opened(wiring.policy_log, settings) as log:
        return await _version(log, policy_hash)


async def _version(log: "PolicyLog", policy_hash: str) -> "ResolvedPolicy":
    from policies.evaluate import ResolvedPolicy

    found = await log.get_version(policy_hash)
    return ResolvedPolicy.from_body(found.body, found.policy_hash)


async def in_force(settings: Settings, product: str) -> "ResolvedPolicy | None":
    """What was applied last; None when the product never had a policy."""
    async with wiring.opened(wiring.policy_log, settings) as log:
        entry = await log.in_force(product)
        return await _version(log, entry.to_hash) if entry else None


@dataclass(frozen=True)
class Application:
    """One change to make."""

    policy: "ResolvedPolicy"
    replaces: "ResolvedPolicy | None"
    by: str
    reason: str
    softening: bool


async def put_in_force(settings: Settings, change: Application) -> "AuditEntry":
    """Store the body under its hash, publish, write the audit entry; in this order.

    Raises:
        UnavailableError: before the publication nothing has changed and it can be run again;
            after it the message says that only the audit entry is missing.
    """
    from policies.publish import publish
    from streams.errors import UnavailableError
    from streams.kafka.topic_admin import ensure_topics
    from streams.topics import POLICIES

    policy = change.policy
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(wiring.opened(wiring.policy_log, settings))
        await log.store_version(policy.policy_hash, policy.product_id, dict(policy.body))
        await ensure_topics(
            wiring.kafka_connection(settings), settings.kafka.replication_factor, [POLICIES]
        )
        publisher = await stack.enter_async_context(wiring.publisher(settings))
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


async def audit(settings: Settings, product: str | None, limit: int) -> "list[AuditEntry]":
    """The latest changes first."""
    async with wiring.opened(wiring.policy_log, settings) as log:
        return await log.list_log(product, limit)


class HistoryRow:
    """A row of the history as ``policies.review.replay.Recorded``."""

    __slots__ = ("_row", "class_id", "is_late")

    def __init__(self, row: "RecordedDecision") -> None:
        self._row = row
        self.class_id = getattr(row, "class_id", None)
        self.is_late = getattr(row, "is_late", False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


async def backtest_history(
    settings: Settings,
    candidate: "ResolvedPolicy",
    since: timedelta,
    advance: Callable[[], None] | None = None,
) -> "BacktestReport":
    """Fold a candidate over the recorded decisions of its product."""
    from contextlib import aclosing

    from history.filters import FrameFilter
    from policies.review.backtest import Backtest
    from streams.codes import Severity

    versions = await _versions(settings, candidate.product_id)
    fold = Backtest(candidate, versions)
    wanted = FrameFilter(product=candidate.product_id, since=datetime.now(UTC) - since)
    async with (
        wiring.opened(wiring.history, settings) as history,
        aclosing(history.stream_decisions(wanted)) as rows,
    ):
        async for row in rows:
            found = Severity(row.review.severity) if row.review else None
            fold.add(HistoryRow(row), found)
            if advance is not None:
                advance()
    return fold.report


async def known_versions(settings: Settings, product: str) -> "dict[str, ResolvedPolicy]":
    """Versions to compare texts with: the products' files, and the database if it answers."""
    from policies.authoring.loading import load_policy
    from policies.errors import PolicyError

    found: dict[str, ResolvedPolicy] = {}
    for path in sorted(settings.paths.policies.glob("*.yaml")):
        with suppress(PolicyError):
            policy = load_policy(path)
            found[policy.policy_hash] = policy
    with suppress(AndonError):
        found |= await _versions(settings, product)
    return found


async def _versions(settings: Settings, product: str) -> "dict[str, ResolvedPolicy]":
    """Every version the product ever had, for the comparison of texts."""
    async with wiring.opened(wiring.policy_log, settings) as log:
        hashes = {entry.to_hash for entry in await log.list_log(product, 1000)}
        return {found: await _version(log, found) for found in sorted(hashes)}


async def recorded_situation(
    settings: Settings, words: str
) -> "tuple[UUID, dict[str, Any], Situation | None]":
    """The effective decision of a frame, or of the serial number of a part, and its situation."""
    from policies.review.replay import situation_of
    from streams.events import Decision

    async with wiring.opened(wiring.history, settings) as history:
        frame_id = await history.resolve(words)
        story = await history.show(frame_id)
    effective = str(story.effective.result_id) if story.effective else ""
    chosen = next((d for d in story.decisions if str(d["result_id"]) == effective), None)
    if chosen is None:
        raise NoSuchPolicyError(f"frame {frame_id} has no decision yet")
    return frame_id, chosen, situation_of(Decision.model_validate(chosen))
