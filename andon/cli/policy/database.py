"""What ``andon policy`` asks of the database and the broker."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from datetime import datetime

from andon import policy_changes
from andon.deeds import declared_deed
from andon.policy_changes import PolicyChange
from andon.settings import load_settings
from andon.wiring import opened, storage
from console.policies.requests import APPLY, TAKE_OUT
from console.second_person import SecondPerson
from history.filters import FrameFilter
from history.policy_log import AuditEntry, PolicyLog
from history.records import RecordedDecision
from policies.authoring.loading import load_policy
from policies.errors import PolicyError, SecondPersonError
from policies.evaluate import ResolvedPolicy
from policies.review.backtest import Backtest, BacktestReport
from streams.codes import Severity
from streams.errors import AndonError


class NoSuchPolicyError(AndonError):
    """A word that is neither a policy file nor the hash of a stored version."""


def _log() -> AbstractAsyncContextManager[PolicyLog]:
    return opened(storage.policy_log, load_settings())


async def version(policy_hash: str) -> ResolvedPolicy:
    """A stored version by its hash or the beginning of it."""
    async with _log() as log:
        return await _version(log, policy_hash)


async def _version(log: PolicyLog, policy_hash: str) -> ResolvedPolicy:

    found = await log.get_version(policy_hash)
    return ResolvedPolicy.from_body(found.body, found.policy_hash)


async def in_force(product: str) -> ResolvedPolicy | None:
    """What was applied last; None when the product never had a policy."""
    async with _log() as log:
        entry = await log.in_force(product)
        return await _version(log, entry.to_hash) if entry and entry.to_hash else None


async def last(product: str) -> ResolvedPolicy | None:
    """The policy in force, or the one that was until it was withdrawn; None where none was."""
    async with _log() as log:
        entry = await log.in_force(product)
        return await _version(log, entry.last_hash) if entry and entry.last_hash else None


async def audit(product: str | None, limit: int) -> list[AuditEntry]:
    """The changes of the policies in force, the latest first."""
    async with _log() as log:
        return await log.list_log(product, limit)


async def put_in_force(
    policy: ResolvedPolicy,
    replaces: str | None,
    by: str,
    why: str,
    softens: bool,
    source: str | None = None,
) -> AuditEntry:
    """Put a version in force for whoever is declared at a prompt; see ``andon.policy_changes``."""
    product, now = policy.product_id, policy.policy_hash
    deed = declared_deed(APPLY, product, by, why, replaces or "", now)
    change = PolicyChange(policy, replaces, by, why, softens, deed, source)
    async with _log() as log:
        return await policy_changes.put_in_force(load_settings(), log, change)


def refuse_alone(
    policy: ResolvedPolicy,
    before: ResolvedPolicy | None,
    last: ResolvedPolicy | None,
    softens: bool,
) -> None:
    """Refuse what somebody else must approve: at a prompt nobody is known.

    Args:
        before: what is in force.
        last: the same, or what was in force until it was withdrawn.

    Raises:
        SecondPersonError: the plant asks for a second person, and the console knows people.
    """
    asked = SecondPerson(load_settings().console.second_person)
    in_force, latest = (one.policy_hash if one else "" for one in (before, last))
    if asked.stops(policy.policy_hash, in_force, latest, softens):
        raise SecondPersonError(
            f"somebody else must approve this (ANDON_CONSOLE__SECOND_PERSON is {asked}), and at a "
            "prompt nobody is known: ask for it on the console's page Policies, or by POST "
            "/api/policies/PRODUCT/changes with a token"
        )


async def take_out_of_force(product: str, by: str, why: str) -> AuditEntry:
    """Withdraw a product's policy; every part of it is held then."""
    before = await in_force(product)
    if before is None:
        raise NoSuchPolicyError(f"{product!r} has no policy in force; see `andon policy log`")
    async with _log() as log:
        old = before.policy_hash
        deed = declared_deed(TAKE_OUT, product, by, why, before=old)
        return await policy_changes.take_out_of_force(load_settings(), log, product, old, deed)


async def recorded_since(
    product: str, since: datetime
) -> AsyncGenerator[tuple[RecordedDecision, Severity | None], None]:
    """The effective decisions on a product, oldest first, each with what a person found."""
    wanted = FrameFilter(product=product, since=since)
    async with (
        opened(storage.history, load_settings()) as history,
        aclosing(history.stream_decisions(wanted)) as rows,
    ):
        async for row in rows:
            yield row, Severity(row.review.severity) if row.review else None


async def backtest_history(
    candidate: ResolvedPolicy, since: datetime, advance: Callable[[], None]
) -> BacktestReport:
    """Fold a candidate over the recorded decisions of its product."""
    fold = Backtest(candidate, await _versions(candidate.product_id))
    async with aclosing(recorded_since(candidate.product_id, since)) as rows:
        async for row, found in rows:
            fold.add(row, found)
            advance()
    return fold.report


async def known_versions(product: str) -> dict[str, ResolvedPolicy]:
    """Versions to compare texts with: the products' files, and the database if it answers."""
    found: dict[str, ResolvedPolicy] = {}
    for path in sorted(load_settings().paths.policies.glob("*.yaml")):
        with suppress(PolicyError):
            policy = load_policy(path)
            found[policy.policy_hash] = policy
    with suppress(AndonError):
        found |= await _versions(product)
    return found


async def _versions(product: str) -> dict[str, ResolvedPolicy]:
    """Every version the product ever had, for the comparison of texts."""
    async with _log() as log:
        hashes = {e.to_hash for e in await log.list_log(product, 1000) if e.to_hash}
        return {found: await _version(log, found) for found in sorted(hashes)}


async def recorded_decision(words: str) -> Mapping[str, object]:
    """The effective decision, as recorded, of the frame of that id or of a part seen once."""
    async with opened(storage.history, load_settings()) as history:
        story = await history.show(await history.resolve(words))
    effective = str(story.effective.result_id) if story.effective else ""
    for event in story.decisions:
        if str(event["result_id"]) == effective:
            return event
    raise NoSuchPolicyError(f"frame {story.frame_id} has no decision yet")
