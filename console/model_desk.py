"""Versions of experts as the console changes them: each wish is written in the audit first."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import Request

from console.identity import who_of
from console.model_requests import (
    ACTIONS,
    REQUEST,
    ROLLBACK,
    USE,
    ModelRequest,
    VersionPair,
    is_first_answer,
    open_requests,
)
from console.model_versions import ExemplarsKept, ModelError, ModelVersions, VersionChange
from console.parts import ConsoleParts
from console.policies.reading import actor_of
from console.second_person import AnswerToRequest, approved_words, check_answer, is_same_person
from history.console_audit import WrittenDeed
from history.errors import NotInHistoryError
from serving.expert_versions import Version
from streams.errors import AndonError, UnavailableError
from streams.names import key_of

_REQUESTS_LIVE: Final = timedelta(days=30)


@dataclass(frozen=True)
class ProductModels:
    """The versions of one product."""

    product: str
    key: str
    """Names it in addresses."""
    versions: Sequence[Version]
    exemplars: Sequence[ExemplarsKept]
    now: VersionPair | None
    """What is in force; None where that is not known just now."""
    change: VersionChange | None
    request: ModelRequest | None
    """What waits for a second person."""


class ModelDesk:
    """What the page and the API do with versions; one of each."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._audit = parts.audit
        self.models: ModelVersions = parts.models
        second = parts.policies.second_person
        self.is_second_asked = second.is_asked(softens=False)
        """Whether each version waits for a second person: nobody can tell which of them soften."""

    async def all(self) -> tuple[list[ProductModels], Sequence[str]]:
        """Every product with its versions, and what could not be found out."""
        found, unknown = await self.models.versions(None)
        requests, unknown = {}, list(unknown)
        try:
            requests = await self._requests()
        except UnavailableError as error:
            unknown.append(f"what waits for a second person: {error}")
        names = list(dict.fromkeys(version.product for version in found))
        kept = await asyncio.gather(*(self._kept(name, unknown) for name in names))
        return [
            ProductModels(
                name,
                key_of(name),
                [version for version in found if version.product == name],
                exemplars,
                now,
                self.models.change(name),
                requests.get(name),
            )
            for name, (exemplars, now) in zip(names, kept, strict=True)
        ], unknown

    async def _kept(
        self, product: str, unknown: list[str]
    ) -> tuple[Sequence[ExemplarsKept], VersionPair | None]:
        """The product's exemplars, and what is in force, be it in the store any more or not."""
        try:
            return await self.models.exemplars(product), await self.models.in_force(product)
        except AndonError as error:
            unknown.append(f"exemplars of {product}: {error}")
            return (), None

    async def product(self, key: str) -> str:
        """The product that a key names.

        Raises:
            ModelError: none.
        """
        known = await self.models.products()
        if key not in known:
            raise ModelError(f"no version of {key[:80]!r} is in the store")
        return known[key]

    async def use(
        self,
        request: Request,
        key: str,
        digest: str,
        reason: str,
        exemplars: str | None = None,
        seen: str | None = None,
    ) -> VersionChange:
        """Begin to put a version in force, or ask a second person to.

        What the version before is, and which exemplars belong to a version, is found out now: what
        is approved is what was asked for.

        Args:
            digest: empty returns to the version before.
            exemplars: other ones than those that belong to the version.
            seen: what who asks was shown to be in force, as ``VersionPair.words``.

        Raises:
            ModelError: no reason, another change is under way, no such version, or something else
                is in force than who asks has seen.
        """
        product, why = await self.product(key), reason.strip()
        if not why:
            raise ModelError("say in a few words why: it is kept in the audit")
        found, _ = await self.models.versions(product)
        if digest and digest not in {version.digest for version in found}:
            raise ModelError(f"{product} has no version {digest[:12]}")
        self._refuse_while_one_runs(product)
        now = await self.models.in_force(product)
        if seen is not None and seen != now.words:
            raise ModelError(_changed(product, now))
        wanted = await self.models.meant(product, digest, exemplars)
        who = who_of(request)
        waits = self.is_second_asked and wanted.over(now) != now
        action = REQUEST if waits else USE if digest else ROLLBACK
        said = {"before": now.words, "after": wanted.words, "reason": why}
        await self._audit.append(who.deed(request, action, product, **said))
        if not waits:
            return self.models.use(product, wanted, who.name, why)
        asked = (await self._requests()).get(product)
        return _unchanged(product, wanted, who.name, "a second person has to approve it", asked)

    async def request_of(self, key: str) -> ModelRequest | None:
        """What waits for a second person, if anything does."""
        return (await self._requests()).get(await self.product(key))

    async def answer(
        self, request: Request, key: str, number: int, answer: AnswerToRequest, reason: str
    ) -> VersionChange:
        """Approve, refuse or withdraw what somebody asked for.

        Raises:
            NotInHistoryError: it is not open any more.
            SecondPersonError: nobody approves their own, nor does a program or a PIN.
            ModelError: another change is under way, there is no such version any more, or another
                one is in force than when it was asked for.
        """
        product, actor = await self.product(key), actor_of(request)
        asked = (await self._requests()).get(product)
        if asked is None or asked.number != number:
            raise NotInHistoryError("this request is not open any more")
        check_answer(answer, self.is_own(request, asked), actor.may_approve)
        words = reason.strip()
        if answer is AnswerToRequest.APPROVE:
            self._refuse_while_one_runs(product)
            now = await self.models.in_force(product)
            if now != asked.replaced:
                raise ModelError(f"{_changed(product, now)}; ask for it again")
            words = approved_words(asked.reason, actor.name, words)
        said = {"before": asked.replaced.words, "after": asked.wanted.words, "reason": words}
        row = await self._audit.append(actor.deed(f"model.{answer.value}", product, **said))
        if not is_first_answer(await self._rows(), asked, row):
            raise NotInHistoryError("this request is not open any more")
        if answer is not AnswerToRequest.APPROVE:
            closed = "the request is closed; nothing changed"
            return _unchanged(product, asked.wanted, asked.by, closed, asked)
        begun = self.models.use(product, asked.wanted, asked.by, words)
        return begun.model_copy(update={"request": asked})

    @staticmethod
    def is_own(request: Request, asked: ModelRequest) -> bool:
        """Whether who asks now is the person who asked for it, by whatever token."""
        return is_same_person(asked.by, actor_of(request).person)

    def _refuse_while_one_runs(self, product: str) -> None:
        running = self.models.change(product)
        if running is not None and running.running:
            raise ModelError(f"{product}: another version is being put in force; wait for it")

    async def _rows(self) -> list[WrittenDeed]:
        return await self._audit.of_actions(ACTIONS, datetime.now(UTC) - _REQUESTS_LIVE)

    async def _requests(self) -> dict[str, ModelRequest]:
        """Of every product; none are looked for where nobody is asked."""
        return open_requests(await self._rows()) if self.is_second_asked else {}

    async def shadow(self, request: Request, key: str, digest: str) -> None:
        """Let a version be scored beside the one in force; an empty digest ends it."""
        product = await self.product(key)
        await self._audit.append(
            who_of(request).deed(request, "model.shadow", product, after=digest)
        )
        await self.models.shadow(product, digest or None)


def _changed(product: str, now: VersionPair) -> str:
    exemplars = (now.exemplars or "none")[:12]
    return (
        f"what is in force for {product} was changed meanwhile: it is {now.expert[:12] or 'none'} "
        f"with exemplars {exemplars}"
    )


def _unchanged(
    product: str, wanted: VersionPair, by: str, said: str, asked: ModelRequest | None
) -> VersionChange:
    return VersionChange(
        product=product,
        to=wanted.expert,
        exemplars=wanted.exemplars,
        by=by,
        began_at=asked.at if asked else datetime.now(UTC),
        said=said,
        running=False,
        request=asked,
    )
