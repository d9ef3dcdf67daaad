"""VELM's second stage: a multimodal language model names the anomaly (paper, section 3.2)."""

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial

from prompts import PictureLayout, Prompt, PromptError, render
from serving.experts.errors import UndecodableImage
from serving.naming.answers import UnknownReason, agree, read_answer
from serving.naming.base import UNKNOWN, waited_for_s
from serving.naming.calls import CallProblem, Question
from serving.naming.endpoint import Endpoint, Reply, Unanswered
from serving.naming.guard import CallBill, Spending
from serving.naming.references import NoReferences, Preparable, ReferenceProvider
from serving.naming.settings import EndpointZone, VelmSettings
from serving.naming.visual import EgressError, PromptPictures, make_pictures
from streams.codes import ReasonCode
from streams.events import Classification
from streams.failures import AskedInVain
from streams.masking import masking_logger
from streams.ports import ClassificationRequest, ClassificationTexts, Failure

log = masking_logger(__name__)

PICTURE_THREADS = min(4, os.cpu_count() or 1)
"""Pictures are made first come, first served: more threads would only make the first ones wait."""


class VelmClassifier:
    """A ``Classifier`` over one endpoint.

    Args:
        endpoint: the guarded endpoint; started and closed with the classifier.
        settings: prompt parts, pictures, repeated calls.
        references: gives the picture of a normal part.
        name: what ``Classification.classifier`` says.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        settings: VelmSettings = VelmSettings(),
        references: ReferenceProvider | None = None,
        *,
        name: str = "velm",
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self._settings = settings
        self._references = references or NoReferences()
        self._render = lru_cache(maxsize=256)(_render)
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Open the endpoint's connection pool; load what the references need."""
        if isinstance(self._references, Preparable):
            await asyncio.to_thread(self._references.prepare)
        self._threads = ThreadPoolExecutor(PICTURE_THREADS, f"{self.name}-pictures")
        await self.endpoint.start()

    async def close(self) -> None:
        """Close the connections."""
        await self.endpoint.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        """Name the anomaly within ``timeout_s``; every failure comes back as a value."""
        began = time.monotonic()
        if (refusal := self.endpoint.unavailable()) is not None:
            return _failure(refusal)
        try:
            async with asyncio.timeout(timeout_s):
                asked = await self._prepare(request)
        except TimeoutError:
            return _failure(Unanswered(CallProblem.LATE, "no time to prepare the pictures"))
        except UndecodableImage as error:
            return Failure(ReasonCode.UNDECODABLE_IMAGE, "undecodable", str(error))
        except EgressError as error:
            return Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, "egress", str(error))
        except PromptError as error:
            return self._unknown(f"{UnknownReason.BAD_PROMPT.value}: {error}"[:480], began)
        if asked is None:
            return self._unknown(UnknownReason.NO_CLASSES.value, began)
        left_s = timeout_s - (time.monotonic() - began)
        return await self._ask(*asked, left_s, waited_for_s(request), began)

    async def _prepare(self, request: ClassificationRequest) -> tuple[Prompt, Question] | None:
        """Check egress, make pictures off the loop, render. None without classes to choose."""
        texts = request.texts
        cropped = self._cropped(texts)
        if not texts.classes:
            return None
        self._render(texts, self._settings, True, PictureLayout())  # refuse bad words early
        loop = asyncio.get_running_loop()
        pictures = await loop.run_in_executor(self._threads, self._pictures, request, cropped)
        prompt = self._render(texts, self._settings, pictures.has_reference, pictures.layout)
        shown, labels = pictures.data_urls, tuple(prompt.labels)
        return prompt, Question(prompt.system, prompt.text, shown, labels)

    def _cropped(self, texts: ClassificationTexts) -> bool:
        """Whether only a crop may be shown. Raises when nothing may leave."""
        if self.endpoint.settings.zone is not EndpointZone.EXTERNAL or texts.egress == "full":
            return False
        if texts.egress == "crop":
            return True
        raise EgressError(
            f"policy of {texts.product_id!r}: egress is {texts.egress!r} and endpoint "
            f"{self.endpoint.name!r} is external; nothing was sent"
        )

    def _pictures(self, request: ClassificationRequest, cropped: bool) -> PromptPictures:
        parts = self._settings.parts
        reference = self._reference(request) if parts.reference_image else None

        make = partial(
            make_pictures,
            request.image,
            region=request.inspection.region,
            settings=self._settings.visual,
            visual_prompt=parts.visual_prompt,
            cropped=cropped,
        )
        try:
            return make(reference=reference)
        except UndecodableImage:
            if reference is None:
                raise
            return make(reference=None)  # raises again when it is the query that cannot be decoded

    def _reference(self, request: ClassificationRequest) -> bytes | None:
        """A photograph of a normal part; where that fails, the prompt goes without one."""
        try:
            return self._references.reference(request.texts.product_id, request.image)
        except Exception:  # whatever fails, the prompt goes without a reference
            log.exception("no reference for product %r", request.texts.product_id)
            return None

    async def _ask(
        self, prompt: Prompt, question: Question, timeout_s: float, waited_s: float, began: float
    ) -> Classification | Failure:
        varied = replace(question, temperature=self._settings.repeat_temperature)
        questions = [question] + [varied] * (self._settings.calls - 1)
        bill = CallBill()
        asked = [asyncio.create_task(self.endpoint.ask(q, timeout_s, bill)) for q in questions]
        try:
            outcomes = await _outcomes(asked, waited_s)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)  # a call that is cut is on the bill then
        replies = [o for o in outcomes if isinstance(o, Reply)]
        if replies:
            return self._classification(replies, prompt, began, bill)
        return _failure(next(o for o in outcomes if isinstance(o, Unanswered)), bill)

    def _classification(
        self, replies: list[Reply], prompt: Prompt, began: float, bill: CallBill
    ) -> Classification:
        answer = agree([read_answer(r.raw, prompt.labels) for r in replies])
        return Classification(
            class_name=answer.class_name,
            confidence=min(max(answer.confidence or 0.0, 0.0), 1.0),
            classifier=self.name,
            model=replies[0].model,
            prompt_hash=prompt.prompt_hash,
            unknown_reason=answer.unknown_reason,
            tokens_in=sum(r.tokens_in for r in replies),
            tokens_out=sum(r.tokens_out for r in replies),
            cost=sum(r.cost for r in replies),
            unanswered_calls=bill.unanswered.calls,
            unanswered_tokens=bill.unanswered.tokens,
            unanswered_cost=bill.unanswered.money,
            latency_ms=(time.monotonic() - began) * 1000,
            candidates=dict(answer.candidates),
        )

    def _unknown(self, reason: str, began: float) -> Classification:
        return Classification(
            class_name=UNKNOWN,
            confidence=0.0,
            classifier=self.name,
            model=self.endpoint.settings.model,
            unknown_reason=reason,
            latency_ms=(time.monotonic() - began) * 1000,
        )


def _render(
    texts: ClassificationTexts, settings: VelmSettings, reference: bool, layout: PictureLayout
) -> Prompt:
    parts = settings.parts
    if not reference:
        parts = parts.model_copy(update={"reference_image": False})
    return render(texts, parts, settings.protocol, layout)


async def _outcomes(
    asked: Sequence[asyncio.Task[Reply | Unanswered]], waited_s: float
) -> list[Reply | Unanswered]:
    """What the calls brought: all of them, or those that answered while the part was waited for,
    if any did, so that the slowest of several does not decide whether it is named."""
    if len(asked) > 1 and waited_s > 0:
        done, _ = await asyncio.wait(asked, timeout=waited_s)
        found = [task.result() for task in asked if task in done]
        if any(isinstance(outcome, Reply) for outcome in found):
            return found
    return await asyncio.gather(*asked)


def _failure(outcome: Unanswered, bill: CallBill | None = None) -> Failure:
    late = outcome.problem is CallProblem.LATE
    code = ReasonCode.LATE if late else ReasonCode.CLASSIFIER_UNAVAILABLE
    permanent = outcome.problem in (CallProblem.REJECTED, CallProblem.OVER_BUDGET)
    message, lost = outcome.message, Spending() if bill is None else bill.unanswered
    if lost.tokens:
        cost = f", {lost.money:.2g} in money" if lost.money else ""
        message += f" (asked in vain {lost.calls} times: some {lost.tokens} tokens{cost})"
    in_vain = AskedInVain(lost.calls, lost.tokens, lost.money)
    return Failure(code, outcome.problem.value, message, not permanent, in_vain)
