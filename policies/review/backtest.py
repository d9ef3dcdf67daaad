"""Replays recorded decisions under a candidate: what would last month have looked like?"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from policies.evaluate import ResolvedPolicy
from policies.review.diff import prompt_changes
from policies.review.replay import Recorded, disagreement, situation_of
from streams.codes import Action, Severity
from streams.ids import image_key
from streams.ports import Outcome

MAX_LISTED = 1000
"""Most parts listed per finding; the counts go on."""


@dataclass(frozen=True)
class PartFinding:
    """One part whose fate changes, or that a replay cannot reproduce."""

    frame_id: str
    part_id: str
    lot_id: str
    class_name: str
    before: str
    after: str
    reason: str
    image: str
    """Key of its picture in the object store."""
    reviewed: str = ""
    """What a person found: a severity, or '' when nobody looked."""


@dataclass
class Findings:
    """A count and the first parts of one kind."""

    count: int = 0
    parts: list[PartFinding] = field(default_factory=list)

    def add(
        self, decision: Recorded, outcome: Outcome, found: Severity | None, reason: str = ""
    ) -> None:
        """Count one more; ``reason`` is the outcome's own by default."""
        self.count += 1
        if self.count <= MAX_LISTED:
            self.parts.append(
                PartFinding(
                    frame_id=str(decision.frame_id),
                    part_id=decision.part_id,
                    lot_id=decision.lot_id,
                    class_name=outcome.class_name,
                    before=decision.action.value,
                    after=outcome.action.value,
                    reason=reason or outcome.reason,
                    image=_image(decision),
                    reviewed=found.value if found else "",
                )
            )


@dataclass
class Cost:
    """Money by the candidate's prices; escapes only where a person found a defect."""

    recorded: float = 0.0
    candidate: float = 0.0
    escapes_recorded: float = 0.0
    escapes_candidate: float = 0.0


@dataclass
class BacktestReport:
    """The result. Late decisions are reproduced and not counted: nobody acted on them."""

    product: str
    candidate: str
    decisions: int = 0
    changed: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Decisions by class, action before and action after."""
    changes: Findings = field(default_factory=Findings)
    """Parts with another action, of whatever kind."""
    escapes: Findings = field(default_factory=Findings)
    """Parts that would pass though a person found a defect."""
    possible_escapes: Findings = field(default_factory=Findings)
    """Parts that would pass, were stopped as a defect or unknown, and were never reviewed."""
    scrapped: Findings = field(default_factory=Findings)
    """Parts that would be scrapped and were not."""
    good_scrapped: Findings = field(default_factory=Findings)
    """Parts that would be scrapped though a person found nothing that matters."""
    reviewed: int = 0
    late: int = 0
    without_policy: int = 0
    other_products: int = 0
    in_force: int = 0
    """Decisions recorded under the candidate's own hash."""
    mismatches: Findings = field(default_factory=Findings)
    """Decisions under the candidate's hash that a replay does not reproduce, with the reason."""
    versions: Counter[str] = field(default_factory=Counter)
    not_judgeable: int = 0
    """Decisions whose class was named under other texts than the candidate's."""
    prompt_changes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each recorded version, what its classifier read differently."""
    unknown_versions: set[str] = field(default_factory=set)
    """Recorded versions whose texts are not at hand, so that nobody can compare them."""
    cost: Cost | None = None
    currency: str = ""

    @property
    def total_changed(self) -> int:
        """Decisions with another action."""
        return sum(self.changed.values())

    @property
    def exact(self) -> bool:
        """Whether every decision of the version in force was reproduced."""
        return self.mismatches.count == 0


def backtest(
    candidate: ResolvedPolicy,
    decisions: Iterable[Recorded],
    reviews: Mapping[UUID, Severity] | None = None,
    versions: Mapping[str, ResolvedPolicy] | None = None,
) -> BacktestReport:
    """Run a candidate over recorded decisions, in any order, in constant memory.

    Args:
        candidate: the policy to judge.
        decisions: as recorded; those of other products are skipped and counted.
        reviews: frame id -> what a person found last: the truth where there is one.
        versions: hash -> policy of the recorded versions, to compare the prompt's texts.
    """
    fold = Backtest(candidate, versions)
    truth = reviews or {}
    for decision in decisions:
        fold.add(decision, truth.get(decision.frame_id))
    return fold.report


class Backtest:
    """A back-test of decisions that arrive one by one; ``report`` is always current."""

    def __init__(
        self, candidate: ResolvedPolicy, versions: Mapping[str, ResolvedPolicy] | None = None
    ) -> None:
        prices = candidate.document.prices
        self._policy = candidate
        self._versions = versions or {}
        self._price = {
            Action.PASS: 0.0,
            Action.REWORK: prices.rework if prices else 0.0,
            Action.SCRAP: prices.scrap if prices else 0.0,
            Action.HOLD: prices.hold if prices else 0.0,
        }
        self._escape = prices.escape if prices else 0.0
        self._same_texts = {candidate.policy_hash: True}
        self.report = BacktestReport(candidate.product_id, candidate.policy_hash)
        if prices:
            self.report.cost, self.report.currency = Cost(), prices.currency

    def add(self, decision: Recorded, found: Severity | None = None) -> None:
        """One more decision, with what a person found on the frame if anyone looked."""
        report = self.report
        if decision.product_id != report.product:
            report.other_products += 1
            return
        situation = situation_of(decision)
        if situation is None:
            report.without_policy += 1
            return
        outcome = self._policy.decide(situation)
        if decision.policy_hash == report.candidate:
            self._reproduce(decision, outcome)
        if decision.is_late:
            report.late += 1
        else:
            self._count(decision, outcome, found)

    def _reproduce(self, decision: Recorded, outcome: Outcome) -> None:
        self.report.in_force += 1
        reason = disagreement(decision, outcome)
        if reason:
            self.report.mismatches.add(decision, outcome, None, reason)

    def _count(self, decision: Recorded, outcome: Outcome, found: Severity | None) -> None:
        report = self.report
        report.decisions += 1
        report.versions[decision.policy_hash] += 1
        if decision.classification is not None and not self._comparable(decision.policy_hash):
            report.not_judgeable += 1
        report.reviewed += found is not None
        if report.cost is not None:
            self._charge(report.cost, decision.action, outcome.action, found)
        if outcome.action is not decision.action:
            named = outcome.class_name or decision.class_name or "unknown"
            report.changed[named, decision.action.value, outcome.action.value] += 1
            report.changes.add(decision, outcome, found)
        self._judge(decision, outcome, found)

    def _judge(self, decision: Recorded, outcome: Outcome, found: Severity | None) -> None:
        report, changed = self.report, outcome.action is not decision.action
        defective = found is Severity.DEFECT
        if outcome.action is Action.PASS:
            if defective:
                report.escapes.add(decision, outcome, found)
            elif changed and found is None and decision.severity in _STOPPED:
                report.possible_escapes.add(decision, outcome, None)
        elif outcome.action is Action.SCRAP:
            if changed:
                report.scrapped.add(decision, outcome, found)
            if found in _HARMLESS:
                report.good_scrapped.add(decision, outcome, found)

    def _charge(self, cost: Cost, before: Action, after: Action, found: Severity | None) -> None:
        cost.recorded += self._price[before]
        cost.candidate += self._price[after]
        if found is Severity.DEFECT:
            cost.escapes_recorded += self._escape if before is Action.PASS else 0.0
            cost.escapes_candidate += self._escape if after is Action.PASS else 0.0

    def _comparable(self, version: str) -> bool:
        """Whether the classifier of a version read the candidate's texts."""
        known = self._same_texts.get(version)
        if known is None:
            recorded = self._versions.get(version)
            if recorded is None:
                self.report.unknown_versions.add(version)
                known = False
            else:
                changes = prompt_changes(recorded, self._policy)
                known = not changes
                if changes:
                    self.report.prompt_changes[version] = changes
            self._same_texts[version] = known
        return known


_STOPPED = (Severity.DEFECT, Severity.UNKNOWN)
_HARMLESS = (Severity.NORMAL, Severity.NEGLIGIBLE)


def _image(decision: Recorded) -> str:
    stated = getattr(decision, "image_key", None)
    if stated:
        return str(stated)
    try:
        return image_key(decision.frame_id)
    except (ValueError, OverflowError, OSError):  # a frame id that carries no time
        return ""
