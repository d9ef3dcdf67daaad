"""Ask the classifier again about recorded anomalies under a candidate's texts, in pairs."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import comb

from policies.egress import EGRESS, Egress
from policies.evaluate import ResolvedPolicy
from policies.review.replay import Recorded
from streams.codes import Action, Severity
from streams.errors import UnavailableError
from streams.events import Classification
from streams.ports import (
    AnomalyClassifier,
    ClassificationRequest,
    Failure,
    ImageStore,
    Situation,
)

_ANSWER_S = 60.0


@dataclass(frozen=True)
class Replayed:
    """One recorded anomaly whose picture is kept."""

    decision: Recorded
    image: str
    """Key in the object store."""
    found: Severity | None = None
    """What a person found, if anyone looked."""


@dataclass(frozen=True)
class Estimate:
    """What asking again will cost, from what the recorded answers cost."""

    calls: int
    cost: float
    tokens: int
    latency_s: float
    """Seconds that all calls take one after another."""


def estimate(parts: Sequence[Replayed]) -> Estimate:
    """The recorded answers' own figures, summed; 0 where a classifier recorded none."""
    answers = [part.decision.classification for part in parts if part.decision.classification]
    return Estimate(
        calls=len(parts),
        cost=sum(a.cost for a in answers),
        tokens=sum(a.tokens_in + a.tokens_out for a in answers),
        latency_s=sum(a.latency_ms for a in answers) / 1000,
    )


@dataclass(frozen=True)
class Pairs:
    """How many pairs (before, after) differ each way, and McNemar's exact p-value."""

    gained: int
    lost: int

    @property
    def p_value(self) -> float:
        """Two-sided, by the binomial distribution (McNemar, Psychometrika 12, 1947)."""
        return mcnemar(self.gained, self.lost)


def mcnemar(gained: int, lost: int) -> float:
    """Probability of a split at least as uneven if both ways were equally likely, 0 to 1."""
    n = gained + lost
    tail = sum(comb(n, k) for k in range(min(gained, lost) + 1))
    return float(min(1.0, 2 * tail / 2**n))


@dataclass
class ReclassifyReport:
    """What the classifier says now against what was recorded."""

    asked: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Parts without a picture or an answer, by reason."""
    classes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Parts by class before and class now, where they differ."""
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Parts by action before and action now, where they differ."""
    now_stopped: int = 0
    now_passed: int = 0
    reviewed: int = 0
    now_right: int = 0
    now_wrong: int = 0
    cost: float = 0.0

    @property
    def stops(self) -> Pairs:
        """Parts stopped now that passed, against parts passed now that were stopped."""
        return Pairs(self.now_stopped, self.now_passed)

    @property
    def truth(self) -> Pairs:
        """Reviewed parts right now that were wrong, against wrong now that were right."""
        return Pairs(self.now_right, self.now_wrong)


async def reclassify(
    candidate: ResolvedPolicy,
    parts: Sequence[Replayed],
    images: ImageStore,
    classifier: AnomalyClassifier,
    batch: int = 8,
    advance: Callable[[int], None] | None = None,
    egress: Egress = "none",
) -> ReclassifyReport:
    """Replay pictures through the classifier and decide under the candidate.

    Args:
        candidate: its texts are what the classifier reads, its rules decide.
        parts: recorded anomalies; each needs its inspection.
        images: where the pictures are.
        classifier: asked in batches of ``batch``, each within ``_ANSWER_S`` seconds.
        advance: told the number of parts done.
        egress: what the policy in force lets out of the plant. A candidate that nobody has applied
            may let out less, and not more.
    """
    report = ReclassifyReport()
    allowed = min(egress, candidate.document.egress, key=EGRESS.index)
    for begin in range(0, len(parts), batch):
        group = parts[begin : begin + batch]
        asked: list[tuple[Replayed, ClassificationRequest]] = []
        for part in group:
            image = await _picture(part, images)
            if isinstance(image, str):
                report.failed[image] += 1
            else:
                asked.append((part, _request(candidate, part, image, allowed)))
        if asked:
            answers = await classifier.classify([request for _, request in asked], _ANSWER_S)
            for (part, _), answer in zip(asked, answers, strict=True):
                _count(report, candidate, part, answer)
        if advance is not None:
            advance(len(group))
    return report


async def _picture(part: Replayed, images: ImageStore) -> bytes | str:
    if part.decision.inspection is None:
        return "no inspection was recorded"
    try:
        return await images.get(part.image)
    except KeyError:
        return "the picture is gone"
    except UnavailableError:
        return "the object store did not answer"


def _request(
    candidate: ResolvedPolicy, part: Replayed, image: bytes, egress: Egress
) -> ClassificationRequest:
    decision = part.decision
    assert decision.inspection is not None
    return ClassificationRequest(
        frame_id=decision.frame_id,
        image=image,
        inspection=decision.inspection,
        texts=replace(candidate.texts(decision.station), egress=egress),
        deadline=datetime.now(UTC) + timedelta(seconds=_ANSWER_S),
    )


def _count(
    report: ReclassifyReport,
    candidate: ResolvedPolicy,
    part: Replayed,
    answer: Classification | Failure,
) -> None:
    if isinstance(answer, Failure):
        report.failed[answer.reason_code.name] += 1
        return
    decision = part.decision
    report.asked += 1
    report.cost += answer.cost
    before = decision.classification.class_name if decision.classification else "unknown"
    if answer.class_name != before:
        report.classes[before, answer.class_name] += 1
    outcome = candidate.decide(
        Situation(
            station=decision.station,
            lot_id=decision.lot_id,
            inspection=decision.inspection,
            classification=answer,
            captured_at=decision.captured_at,
        )
    )
    if outcome.action is not decision.action:
        report.actions[decision.action.value, outcome.action.value] += 1
    passed, passes = decision.action is Action.PASS, outcome.action is Action.PASS
    report.now_stopped += passed and not passes
    report.now_passed += passes and not passed
    if part.found is not None:
        should_pass = part.found is not Severity.DEFECT
        was_right, is_right = passed is should_pass, passes is should_pass
        report.reviewed += 1
        report.now_right += is_right and not was_right
        report.now_wrong += was_right and not is_right
