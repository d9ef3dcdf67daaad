"""Asks a classifier about many pictures: bounded, patient, and stopped when nobody answers."""

import asyncio
from collections.abc import Sequence
from typing import Final

from lab.velm.answers_cache import CALLS
from lab.velm.pipeline import PipelineError
from lab.velm.pipeline_inspect import Inspected
from lab.velm.pipeline_naming import AnsweredPicture, Call, ObjectNaming
from serving.experts.options import Progress
from serving.naming.base import Classifier
from serving.naming.endpoint import Reply
from streams.codes import ReasonCode
from streams.events import Classification
from streams.ports import Failure

ROUNDS: Final = 3
"""Times a picture is tried while the endpoint fails in passing."""
IN_A_ROW: Final = 5
"""Pictures without an answer, one after another, that stop the run."""
GRACE_S: Final = 10.0
"""Seconds that an interrupted run waits for answers under way."""
FIRST_PAUSE_S: Final = 1.0
_PAUSE_MOST_S: Final = 30.0


def answer_all(naming: ObjectNaming, report: Progress) -> list[AnsweredPicture]:
    """Name every picture of an object; blocks until all are answered.

    Raises:
        PipelineError: the endpoint failed for several pictures in a row.
    """
    found = {p.item.key: naming.known(p) for p in naming.pictures}
    waiting = [p for p in naming.pictures if found[p.item.key] is None]
    if waiting:
        asked = asyncio.run(Asking(naming, waiting, report).run())
        found |= {a.inspected.item.key: a for a in asked}
    return [answered for p in naming.pictures if (answered := found[p.item.key]) is not None]


class Asking:
    """One pass over the pictures that nobody answered yet."""

    def __init__(
        self, naming: ObjectNaming, waiting: Sequence[Inspected], report: Progress
    ) -> None:
        self._naming = naming
        self._waiting = waiting
        self._report = report
        self._done = 0
        self._in_a_row = 0
        self._stopped = ""

    async def run(self) -> list[AnsweredPicture]:
        at_once, timeout_s = self._naming.limits
        places = asyncio.Semaphore(at_once)
        classifier = self._naming.classifier()
        await classifier.start()
        try:
            tasks = [
                asyncio.create_task(self._one(classifier, picture, places, timeout_s))
                for picture in self._waiting
            ]
            await self._all(tasks)
        finally:
            await classifier.close()
        if self._stopped:
            raise PipelineError(self._stopped)
        return [task.result() for task in tasks]

    async def _all(self, tasks: Sequence["asyncio.Task[AnsweredPicture]"]) -> None:
        """Wait for every picture; when interrupted, for those already asked: they are paid."""
        try:
            await asyncio.shield(asyncio.gather(*tasks))
        except asyncio.CancelledError:
            self._stopped = "interrupted"
            await asyncio.wait(tasks, timeout=GRACE_S)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(
        self,
        classifier: Classifier,
        picture: Inspected,
        places: asyncio.Semaphore,
        timeout_s: float,
    ) -> AnsweredPicture:
        async with places:
            if self._stopped:
                return AnsweredPicture(picture, None, failure=self._stopped)
            replies: list[Reply] = []
            CALLS.set(replies)
            outcome = await self._try(classifier, picture, timeout_s)
        calls = tuple(
            Call(r.latency_ms, r.tokens_in, r.tokens_out, is_new=r.attempts > 0) for r in replies
        )
        if isinstance(outcome, Failure):
            failure = f"{outcome.error_type}: {outcome.message}"
            answered = AnsweredPicture(picture, None, calls, failure)
        else:
            answered = AnsweredPicture(picture, outcome, calls)
            if all(reply.raw.unreadable is None for reply in replies):
                self._naming.keep(answered)
        self._note(answered.failure)
        return answered

    async def _try(
        self, classifier: Classifier, picture: Inspected, timeout_s: float
    ) -> Classification | Failure:
        """The answer, or the last failure; what fails in passing is tried again."""
        request = await asyncio.to_thread(self._naming.request_of, picture, timeout_s)
        pause_s = FIRST_PAUSE_S
        for left in reversed(range(ROUNDS)):
            outcome = _honest(await classifier.classify(request, timeout_s))
            if isinstance(outcome, Classification) or not outcome.retryable or not left:
                break
            await asyncio.sleep(pause_s)
            pause_s = min(5 * pause_s, _PAUSE_MOST_S)
        return outcome

    def _note(self, failure: str) -> None:
        self._in_a_row = self._in_a_row + 1 if failure else 0
        if self._in_a_row >= IN_A_ROW and not self._stopped:
            self._stopped = (
                f"stopped: {IN_A_ROW} pictures in a row were not answered ({failure}); "
                "what was answered is kept: the same command continues there"
            )
        self._done += 1
        self._report(f"{self._naming.name}: name", self._done, len(self._waiting))


def _honest(outcome: Classification | Failure) -> Classification | Failure:
    """A cascade whose later stage is down says ``unknown``: here that is no answer."""
    if isinstance(outcome, Classification) and outcome.unknown_reason.startswith("unsure: "):
        reason = outcome.unknown_reason
        return Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, "unsure", reason, retryable=True)
    return outcome
