"""The policies as people see and change them: what is in force, versions, requests, changes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol

from console.policies.answers import (
    ChangeOutcome,
    ChangeState,
    PolicyEntry,
    PolicyRequest,
    ProductPolicy,
    VersionText,
)
from console.policies.backtests import Backtests
from console.policies.beside import Differences
from console.policies.requests import ACTIONS, APPLY, REQUEST, open_requests
from console.second_person import (
    AnswerToRequest,
    SecondPerson,
    approved_words,
    check_answer,
    is_same_person,
)
from history.console_audit import ConsoleAudit, Deed
from history.errors import NotInHistoryError
from history.policy_log import AuditEntry, PolicyLog
from policies.authoring.policy_text import text_of
from policies.authoring.prompt_check import check_text_with_prompt
from policies.errors import ChangedMeanwhileError, SofteningError
from policies.evaluate import ResolvedPolicy
from streams.names import key_of

_FIRST_TEXT: Final = "product: a\nclasses: {b: {severity: defect, action: hold}}\n"
"""Checked at the start: the first check takes longer than all others."""
_REQUESTS_LIVE: Final = timedelta(days=30)


class FollowedPolicies(Protocol):
    """What the line follows: ``policies.source.KafkaPolicySource``."""

    def versions(self) -> Mapping[str, str]: ...
    def refused(self) -> Mapping[str, str]: ...
    def signed_by(self) -> Mapping[str, str]: ...


class PutsInForce(Protocol):
    """Publishes a version and writes both audits; refused if another stands by now."""

    async def __call__(
        self,
        policy: ResolvedPolicy,
        *,
        source: str | None,
        replaces: str | None,
        by: str,
        reason: str,
        softens: bool,
        deed: Deed,
        still_wanted: Callable[[], Awaitable[object]] | None,
    ) -> AuditEntry: ...


class MakesDeed(Protocol):
    """Makes the row of the audit: action, object, and what is said of it."""

    def __call__(self, action: str, object: str, **said: str) -> Deed: ...


@dataclass(frozen=True)
class PolicyActor:
    """Who changes a policy, through which request."""

    name: str
    """As the audits name it; a token's begins with the person's name."""
    person: str
    may_approve: bool
    """Whether it is a person who came in with a password or the plant's login: no program, and no
    PIN, which is typed before everybody's eyes."""
    deed: MakesDeed


@dataclass(frozen=True)
class PolicyWish:
    """A version that somebody wants in force."""

    policy: ResolvedPolicy
    source: str | None
    replaces: str | None
    reason: str
    allow_softening: bool
    approved: PolicyRequest | None = None
    """What was asked for, where a second person approves it: it must be open to the last."""


class PolicyDesk:
    """Everything that the pages and the API of policies do.

    Args:
        log: versions, and who put them in force.
        audit: of the console; requests are rows of it.
        follow: opens what the line follows.
        put: puts a version in force.
        second_person: when somebody else must approve.
        backtests: run beside.
    """

    def __init__(
        self,
        log: PolicyLog,
        audit: ConsoleAudit,
        follow: Callable[[], AbstractAsyncContextManager[FollowedPolicies]],
        put: PutsInForce,
        second_person: SecondPerson,
        backtests: Backtests,
    ) -> None:
        self._log, self._audit, self._follow, self._put = log, audit, follow, put
        self.second_person = second_person
        self.backtests = backtests
        self.differences = Differences()
        self._followed: FollowedPolicies | None = None

    async def run(self) -> None:
        """Follow what the line follows, until cancelled; the first check is over by then."""
        await asyncio.to_thread(check_text_with_prompt, _FIRST_TEXT)
        async with self._follow() as followed:
            self._followed = followed
            await asyncio.Event().wait()

    async def close(self) -> None:
        """End what runs beside, and close the connections."""
        self.differences.close()
        await self.backtests.close()
        await self._log.close()

    async def products(self) -> list[ProductPolicy]:
        """Every product that ever had a policy."""
        requests = await self._requests()
        entries = await self._log.latest_of_each()
        return [self._product(entry, requests.get(entry.product_id)) for entry in entries]

    async def product(self, product: str) -> ProductPolicy:
        """One product.

        Raises:
            NotInHistoryError: no policy of it was ever applied.
        """
        entry = await self._log.in_force(product)
        if entry is None:
            raise NotInHistoryError(f"no policy of {product!r} was ever applied")
        return self._product(entry, (await self._requests()).get(product))

    async def in_force(self, product: str) -> ResolvedPolicy | None:
        """The policy that was applied last; None where there is none."""
        entry = await self._log.in_force(product)
        if entry is None or entry.to_hash is None:
            return None
        return (await self._version(entry.to_hash))[0]

    async def last(self, product: str) -> ResolvedPolicy | None:
        """The policy in force, or the one that was until it was withdrawn: what a new one is
        compared with. Against nothing no policy would soften, and one person could withdraw it and
        put a softer one in force alone."""
        entry = await self._log.in_force(product)
        version = entry.last_hash if entry else None
        return None if version is None else (await self._version(version))[0]

    async def text(self, product: str, version: str | None = None) -> VersionText:
        """The text of a version, of the one in force without; of a withdrawn product the last.

        Raises:
            NotInHistoryError: there is no such version of the product.
        """
        if version is None:
            entries = await self._log.list_log(product, 2)
            hashes = [entry.last_hash for entry in entries]
            version = next((name for name in hashes if name), None)
            if version is None:
                raise NotInHistoryError(f"no policy of {product!r} was ever applied")
        policy, source = await self._version(version)
        if policy.product_id != product:
            raise NotInHistoryError(f"{version[:12]} is no version of {product!r}")
        return VersionText(
            product=product,
            policy_hash=policy.policy_hash,
            text=source or text_of(policy),
            is_as_written=bool(source),
        )

    async def log(self, product: str, limit: int = 50) -> list[PolicyEntry]:
        """Who put which version in force, the latest first."""
        return [_entry(entry) for entry in await self._log.list_log(product, limit)]

    async def stored(self, product: str, version: str) -> tuple[ResolvedPolicy, str | None]:
        """A stored version of a product, and its text where one was kept.

        Raises:
            NotInHistoryError: there is no such version of the product.
        """
        policy, source = await self._version(version)
        if policy.product_id != product:
            raise NotInHistoryError(f"{version[:12]} is no version of {product!r}")
        return policy, source

    async def change(self, wish: PolicyWish, actor: PolicyActor) -> ChangeOutcome:
        """Put a version in force, or ask a second person to.

        Raises:
            SofteningError: it softens, and nobody said that this is meant.
            ChangedMeanwhileError, ChangingNowError, PolicyError, UnavailableError: as of
                ``andon.policy_changes.put_in_force``.
        """
        product = wish.policy.product_id
        before = await self.in_force(product)
        found = before.policy_hash if before else None
        if found != wish.replaces:
            raise ChangedMeanwhileError(
                f"the policy of {product!r} was changed meanwhile: in force is "
                f"{(found or 'none')[:12]}; compare with that one, and try again"
            )
        last = await self.last(product)
        softens = bool((await self.differences.between(last, wish.policy)).softenings)
        if softens and not wish.allow_softening:
            raise SofteningError(
                "this lets parts pass that are stopped today, lets more of their pictures out of "
                "the plant, or weakens the watch over the line; if that is meant, say so"
            )
        if self.second_person.is_asked(softens):
            return await self._ask(wish, actor)
        return await self._do(wish, softens, actor)

    async def answer(
        self, product: str, number: int, answer: AnswerToRequest, reason: str, actor: PolicyActor
    ) -> ChangeOutcome:
        """Approve, refuse or withdraw what somebody asked for.

        Raises:
            NotInHistoryError: it is not open any more.
            SecondPersonError: nobody approves their own, nor does a program.
        """
        request = await self._open(product, number)
        check_answer(answer, self.is_own(request.by, actor), actor.may_approve)
        policy, source = await self._version(request.policy_hash)
        if answer is AnswerToRequest.APPROVE:
            last = await self.last(product)
            softens = bool((await self.differences.between(last, policy)).softenings)
            words = approved_words(request.reason, actor.name, reason)
            wish = PolicyWish(policy, source, request.replaces, words, True, request)
            return await self._do(wish, softens, actor)
        said = {"before": request.replaces or "", "after": request.policy_hash, "reason": reason}
        async with self._log.changing(product):  # nobody approves it at this moment
            await self._open(product, number)
            await self._audit.append(actor.deed(f"policy.{answer.value}", product, **said))
        return ChangeOutcome(
            state=ChangeState.CLOSED, policy_hash=request.policy_hash, request=request
        )

    async def _open(self, product: str, number: int) -> PolicyRequest:
        request = (await self._requests()).get(product)
        if request is None or request.number != number:
            raise NotInHistoryError("this request is not open any more")
        return request

    @staticmethod
    def is_own(asked_by: str, actor: PolicyActor) -> bool:
        """Whether it was the same person who asked, by whatever token."""
        return is_same_person(asked_by, actor.person)

    async def _ask(self, wish: PolicyWish, actor: PolicyActor) -> ChangeOutcome:
        policy = wish.policy
        body = dict(policy.body)
        await self._log.store_version(policy.policy_hash, policy.product_id, body, wish.source)
        said = {
            "before": wish.replaces or "",
            "after": policy.policy_hash,
            "reason": wish.reason,
        }
        await self._audit.append(actor.deed(REQUEST, policy.product_id, **said))
        request = (await self._requests()).get(policy.product_id)
        return ChangeOutcome(
            state=ChangeState.REQUESTED, policy_hash=policy.policy_hash, request=request
        )

    async def _do(self, wish: PolicyWish, softens: bool, actor: PolicyActor) -> ChangeOutcome:
        policy, request = wish.policy, wish.approved
        action = "policy.approve" if request else APPLY
        said = {
            "before": wish.replaces or "",
            "after": policy.policy_hash,
            "reason": wish.reason,
        }
        entry = await self._put(
            policy,
            source=wish.source,
            replaces=wish.replaces,
            by=request.by if request else actor.name,
            reason=wish.reason,
            softens=softens,
            deed=actor.deed(action, policy.product_id, **said),
            still_wanted=partial(self._open, request.product, request.number) if request else None,
        )
        return ChangeOutcome(
            state=ChangeState.IN_FORCE, policy_hash=policy.policy_hash, entry=_entry(entry)
        )

    async def _version(self, policy_hash: str) -> tuple[ResolvedPolicy, str | None]:
        found = await self._log.get_version(policy_hash)
        return ResolvedPolicy.from_body(found.body, found.policy_hash), found.source

    async def _requests(self) -> dict[str, PolicyRequest]:
        since = datetime.now(UTC) - _REQUESTS_LIVE
        return open_requests(await self._audit.of_actions(ACTIONS, since))

    def _product(self, entry: AuditEntry, request: PolicyRequest | None) -> ProductPolicy:
        followed = self._followed
        product = entry.product_id
        return ProductPolicy(
            product=product,
            key=key_of(product),
            policy_hash=entry.to_hash,
            since=entry.applied_at,
            by=entry.applied_by,
            reason=entry.reason,
            on_line=followed.versions().get(product) if followed else None,
            signed_by=followed.signed_by().get(product) if followed else None,
            refused=followed.refused().get(product) if followed else None,
            request=request,
        )


def _entry(entry: AuditEntry) -> PolicyEntry:
    return PolicyEntry(
        from_hash=entry.from_hash,
        to_hash=entry.to_hash,
        at=entry.applied_at,
        by=entry.applied_by,
        reason=entry.reason,
        softening=entry.softening,
    )
