"""Collects what a certificate stands on: answers of a classifier that a person checked."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.model import RESERVED_CLASSES
from policies.review.certify import ReviewedAnswer
from policies.review.replay import Recorded, situation_of
from policies.review.review_table import ReviewedRow
from streams.codes import Action, Severity


class Versions(NamedTuple):
    """What answered, and on whose frames: reviews of one say nothing of another."""

    expert_version: str = ""
    classifier: str = ""
    model: str = ""
    prompt_hash: str = ""
    exemplars_version: str = ""


@dataclass
class Collected:
    """Reviewed answers by version; the versions of the last answer stand last."""

    answers: dict[Versions, list[ReviewedAnswer]] = field(default_factory=dict)
    stopped: Counter[str] = field(default_factory=Counter)
    """Reviewed answers that the policy stops anyway, by class."""

    @property
    def latest(self) -> Versions | None:
        """The versions of the last answer; None without any."""
        return next(reversed(self.answers), None)

    @property
    def of_latest(self) -> list[ReviewedAnswer]:
        """The answers that a certificate may stand on."""
        return self.answers[self.latest] if self.latest is not None else []

    @property
    def of_others(self) -> int:
        """Reviewed answers of other versions than the latest."""
        return sum(map(len, self.answers.values())) - len(self.of_latest)

    def add(self, versions: Versions, answer: ReviewedAnswer) -> None:
        """One more; its versions become the latest."""
        found = self.answers.pop(versions, [])
        found.append(answer)
        self.answers[versions] = found


class Reviewing:
    """Folds recorded decisions, oldest first, into what the policy would let pass by itself."""

    def __init__(self, policy: ResolvedPolicy) -> None:
        """What the policy asks of certificates is left aside."""
        self._policy = ResolvedPolicy(policy.document.model_copy(update={"auto_pass": "all"}))
        self.collected = Collected()

    def add(self, decision: Recorded, found: Severity | None) -> None:
        """One more decision, with what a person found on the frame if anyone looked."""
        answer, situation = decision.classification, situation_of(decision)
        if found is None or found is Severity.UNKNOWN or answer is None or situation is None:
            return
        if decision.product_id != self._policy.product_id or decision.is_late:
            return
        outcome = self._policy.decide(situation)
        if outcome.action is not Action.PASS or outcome.rule.startswith("fallback:"):
            self.collected.stopped[answer.class_name] += 1
            return
        inspection = decision.inspection
        versions = Versions(
            inspection.expert_version if inspection else "",
            answer.classifier,
            answer.model,
            answer.prompt_hash,
            answer.exemplars_version,
        )
        is_defect = found is Severity.DEFECT
        reviewed = ReviewedAnswer(answer.class_name, answer.confidence, is_defect)
        self.collected.add(versions, reviewed)


def passing_classes(policy: ResolvedPolicy) -> tuple[str, ...]:
    """Answers whose own action is to pass, ``normal`` among them where a false alarm passes."""
    document = policy.document
    passing = {name for name, entry in document.classes.items() if entry.action is Action.PASS}
    if document.normal.false_alarm is Action.PASS:
        passing.add("normal")
    return tuple(sorted(passing))


def of_table(policy: ResolvedPolicy, rows: Iterable[ReviewedRow]) -> Collected:
    """Reviewed answers of a table, those of stopped classes included: they may be escapes' truth.

    Rules are not asked, because a table holds no measurements.

    Raises:
        PolicyError: a class whose severity neither the row nor the policy tells.
    """
    document, collected = policy.document, Collected()
    for number, row in enumerate(rows, 1):
        severity = row.severity
        if severity is None and row.truth == "normal":
            severity = Severity.NORMAL
        if severity is None:
            known = document.classes.get(row.truth)
            if known is None:
                names = ", ".join(sorted({*document.classes, *RESERVED_CLASSES} - {"unknown"}))
                raise PolicyError(
                    f"row {number}: class {row.truth!r} is not among {names}; state its severity"
                )
            severity = known.severity
        if row.confidence < document.fallbacks.unsure.below:
            continue
        versions = Versions(*(getattr(row, name) for name in Versions._fields))
        is_defect = severity is Severity.DEFECT
        collected.add(versions, ReviewedAnswer(row.answer, row.confidence, is_defect))
    return collected
