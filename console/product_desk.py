"""Drafts of products as the console changes them: off the event loop, and written in the audit."""

from collections.abc import Callable, Sequence
from typing import Final, ParamSpec, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from console.identity import who_of
from console.parts import ConsoleParts
from console.product_drafts import (
    Corner,
    DraftError,
    DraftStep,
    ProductDraft,
    ProductDrafts,
    next_step,
)

MOVE: Final = "exemplar.move"
"""A picture that was named before is of another class from now on."""
MOST_BYTES: Final = 64 << 20
"""Of one picture that is sent."""
Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class ProductDesk:
    """What the page and the API do with drafts; one of each."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._audit, self._policies = parts.audit, parts.policies
        self.drafts: ProductDrafts = parts.drafts

    async def ask(
        self, what: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs
    ) -> Answer:
        """Call a method of the drafts in a thread: they read and write files."""
        return await run_in_threadpool(what, *given, **named)

    async def begin(self, request: Request, product: str) -> ProductDraft:
        """A new draft, or the one that there is of this product."""
        who = who_of(request)
        known = {draft.product for draft in await self.ask(self.drafts.list)}
        draft = await self.ask(self.drafts.begin, product, who.name)
        if draft.product not in known:
            await self._audit.append(who.deed(request, "product.begin", draft.product))
        return draft

    async def take(self, request: Request, key: str, kind: str, name: str) -> ProductDraft:
        """Take the picture that is a request's body.

        Raises:
            DraftError: no picture, or one too large.
        """
        add = self.drafts.add_defect if kind == "defects" else self.drafts.add_normal
        await self.ask(self.drafts.read, key)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                raise DraftError(f"{name[:80]}: over {MOST_BYTES >> 20} MiB are not taken")
        return await self.ask(add, key, name, bytes(body))

    async def start(self, request: Request, key: str, step: DraftStep, reason: str) -> None:
        """Let a step begin in a process of its own, after it was written down who wants it.

        Raises:
            DraftError: a step runs already, or one before is missing.
        """
        draft, who = await self.ask(self.drafts.read, key), who_of(request)
        if busy := await self.ask(self.drafts.busy):
            raise DraftError(f"a step of {busy!r} runs: one at a time")
        if step is DraftStep.LIVE and (missing := next_step(draft)) not in (None, step):
            assert missing is not None
            raise DraftError(f"the step {missing.value!r} comes first")
        if step is DraftStep.LIVE and not reason.strip():
            raise DraftError("say in a few words why it goes on the line")
        if step is DraftStep.LIVE:
            await self._needs_no_second_person(draft)
        after = draft.checked.policy_hash if step is DraftStep.LIVE and draft.checked else ""
        deed = who.deed(
            request, f"product.{step.value}", draft.product, reason=reason.strip(), after=after
        )
        await self._audit.append(deed)
        await self.ask(self.drafts.start, key, step, who.name, reason.strip())

    async def _needs_no_second_person(self, draft: ProductDraft) -> None:
        """A change of a policy that somebody else must approve is made where they are asked. What
        softens is refused by the step itself."""
        desk, wanted = self._policies, draft.checked.policy_hash if draft.checked else ""
        found = [await desk.in_force(draft.product), await desk.last(draft.product)]
        now, last = (one.policy_hash if one else "" for one in found)
        if desk.second_person.stops(wanted, now, last, softens=False):
            raise DraftError(
                f"somebody else must approve another policy of {draft.product!r}: put it in force "
                "on the page Policies, and go on here once it is"
            )

    async def cancel(self, request: Request, key: str) -> bool:
        """End the step that runs; whether one did."""
        draft = await self.ask(self.drafts.read, key)
        ended = await self.ask(self.drafts.cancel, key)
        if ended:
            await self._audit.append(who_of(request).deed(request, "product.cancel", draft.product))
        return ended

    async def name(
        self, request: Request, key: str, name: str, class_name: str, outline: Sequence[Corner]
    ) -> tuple[ProductDraft, str]:
        """Say what a defect is called and where it is.

        Returns:
            The draft, and the class that the picture had before where it has another one now; that
            is written in the audit.
        """
        before = {d.name: d.class_name for d in (await self.ask(self.drafts.read, key)).defects}
        draft = await self.ask(self.drafts.name_defect, key, name, class_name, outline)
        after = next(d.class_name for d in draft.defects if d.name == name)
        old = before.get(name, "")
        if old in ("", after):
            return draft, ""
        said = {"before": old, "after": after, "reason": name}
        await self._audit.append(who_of(request).deed(request, MOVE, draft.product, **said))
        return draft, old

    async def write_policy(self, request: Request, key: str, text: str) -> ProductDraft:
        """Take a text for the draft's policy, and check it."""
        before = await self.ask(self.drafts.read, key)
        draft = await self.ask(self.drafts.write_policy, key, text)
        old, new = (d.checked.text_hash if d.checked else "" for d in (before, draft))
        if old != new:
            deed = who_of(request).deed(
                request, "product.policy", draft.product, before=old, after=new
            )
            await self._audit.append(deed)
        return draft

    async def discard(self, request: Request, key: str) -> None:
        """Forget a draft."""
        draft = await self.ask(self.drafts.read, key)
        await self.ask(self.drafts.discard, key)
        await self._audit.append(who_of(request).deed(request, "product.discard", draft.product))
