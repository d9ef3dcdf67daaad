"""The cascade: the cheap classifier first, a dearer one only where it is unsure."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from serving.naming.base import NORMAL, UNKNOWN, Classifier, waited_for_s
from serving.naming.settings import CascadeSettings
from streams.codes import ReasonCode
from streams.events import Classification
from streams.failures import AskedInVain
from streams.ports import ClassificationRequest, Failure


@dataclass(frozen=True)
class CascadeStage:
    """One classifier of a cascade and how sure it must be to end it."""

    classifier: Classifier
    threshold: float = 0.0
    """An answer of the policy's classes with at least this confidence stands. The last stage's
    answer always stands."""
    is_remote: bool = False
    """Whether it asks over a network, and may hang."""


class CascadeClassifier:
    """Asks the stages in order until one is sure enough.

    A stage that fails or says ``unknown`` passes the part on, unless the policy's ``stop_rate``
    lets the part pass by what the stage found: no name would change that. When every stage after an
    unsure answer fails, the answer is ``unknown`` with the reasons (or the unsure answer itself, if
    ``when_down`` says so), so that the policy's fallback decides.

    ``timeout_s`` of a line is longer than the part waits, so that late answers are recorded: while
    somebody waits for the part, time is shared by the request's deadline.

    Args:
        stages: cheapest first.
        settings: how time is shared, and what happens when a stage is down.
    """

    name = "cascade"

    def __init__(self, stages: Sequence[CascadeStage], settings: CascadeSettings) -> None:
        if not stages:
            raise ValueError("a cascade needs at least one stage")
        self._stages = tuple(stages)
        self._settings = settings

    async def start(self) -> None:
        """Start every stage; those started are closed again if a later one fails."""
        started: list[Classifier] = []
        try:
            for stage in self._stages:
                await stage.classifier.start()
                started.append(stage.classifier)
        except BaseException:
            for classifier in reversed(started):
                await classifier.close()
            raise

    async def close(self) -> None:
        """Close every stage."""
        for stage in reversed(self._stages):
            await stage.classifier.close()

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        """Name the anomaly within ``timeout_s``; ``stages`` lists who was asked."""
        began = time.monotonic()
        asked: list[Classification | Failure] = []
        names: list[str] = []
        for i, stage in enumerate(self._stages):
            is_last = i == len(self._stages) - 1
            left_s = timeout_s - (time.monotonic() - began)
            if left_s <= 0:
                break
            waited_s = waited_for_s(request)
            if waited_s > 0 and (self._holds_answer(asked) if is_last else stage.is_remote):
                left_s = min(left_s, waited_s)
            share = 1.0 if is_last else self._settings.time_share
            names.append(stage.classifier.name)
            asked.append(await stage.classifier.classify(request, left_s * share))
            if _stands(asked[-1], stage, is_last) or _passes(asked[-1], request):
                break
        latency_ms = (time.monotonic() - began) * 1000
        return self._outcome(names, asked, latency_ms)

    def _holds_answer(self, asked: Sequence[Classification | Failure]) -> bool:
        """Whether an unsure answer would stand if the stages after it failed."""
        last = next((a for a in reversed(asked) if isinstance(a, Classification)), None)
        is_named = last is not None and last.class_name != UNKNOWN
        return is_named and self._settings.when_down == "answer"

    def _outcome(
        self, names: list[str], asked: list[Classification | Failure], latency_ms: float
    ) -> Classification | Failure:
        answers = [a for a in asked if isinstance(a, Classification)]
        in_vain = _in_vain(asked)
        if not answers:
            return replace(_all_failed(names, asked), unanswered=in_vain)
        totals = {
            "classifier": self.name,
            "stages": tuple(names),
            "tokens_in": sum(a.tokens_in for a in answers),
            "tokens_out": sum(a.tokens_out for a in answers),
            "cost": sum(a.cost for a in answers),
            "unanswered_calls": in_vain.calls,
            "unanswered_tokens": in_vain.tokens,
            "unanswered_cost": in_vain.cost,
            "latency_ms": latency_ms,
            "normal_p_value": next(
                (a.normal_p_value for a in answers if a.normal_p_value is not None), None
            ),
        }
        final, last = asked[-1], len(asked) - 1
        is_last = last == len(self._stages) - 1
        if isinstance(final, Classification) and _stands(final, self._stages[last], is_last):
            return final.model_copy(update=totals)
        best = answers[-1]
        if self._settings.when_down == "answer" or best.class_name == UNKNOWN:
            return best.model_copy(update=totals)
        reasons = "; ".join(_say(n, a) for n, a in zip(names, asked, strict=True))
        unsure = {"class_name": UNKNOWN, "unknown_reason": f"unsure: {reasons}"[:500]}
        return best.model_copy(update=totals | unsure)


def _in_vain(asked: Sequence[Classification | Failure]) -> AskedInVain:
    """What every stage asked of language models without an answer, and may have to be paid."""
    found = [
        a.unanswered
        if isinstance(a, Failure)
        else AskedInVain(a.unanswered_calls, a.unanswered_tokens, a.unanswered_cost)
        for a in asked
    ]
    cost = sum(one.cost for one in found)
    return AskedInVain(sum(one.calls for one in found), sum(one.tokens for one in found), cost)


def _all_failed(names: list[str], asked: list[Classification | Failure]) -> Failure:
    failures = [a for a in asked if isinstance(a, Failure)]
    if not failures:
        return Failure(ReasonCode.LATE, "late", "no time left for any stage")
    text = "; ".join(f"{n}: {f.message}" for n, f in zip(names, failures, strict=True))
    return replace(failures[-1], message=text)


def _stands(answer: Classification | Failure, stage: CascadeStage, is_last: bool) -> bool:
    if isinstance(answer, Failure):
        return False
    if is_last:
        return True
    return answer.class_name != UNKNOWN and answer.confidence >= stage.threshold


def _passes(answer: Classification | Failure, request: ClassificationRequest) -> bool:
    """Whether so many normal parts look as odd that the policy lets it pass, whatever it is."""
    rate = request.texts.stop_rate
    p_value = None if isinstance(answer, Failure) else answer.normal_p_value
    return rate is not None and p_value is not None and p_value > rate


def _say(name: str, answer: Classification | Failure) -> str:
    if isinstance(answer, Failure):
        return f"{name} {answer.error_type}"
    if answer.class_name == UNKNOWN:
        return f"{name} unknown ({answer.unknown_reason[:80]})"
    kind = "a false alarm" if answer.class_name == NORMAL else repr(answer.class_name)
    return f"{name} {kind} at {answer.confidence:.2f}"
