"""Decides what a policy says about one situation: pure, total and deterministic."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from policies.certified import AutoPass
from policies.conditions.compiled import context_of
from policies.conditions.variables import MILLIMETRES, VARIABLES, Value
from policies.errors import TamperedPolicyError
from policies.limits import count_part
from policies.measurements import Measurements
from policies.model import Body, PolicyDocument, Rule, body_of, class_ids, content_hash
from policies.reasons import (
    because_of_fallback,
    because_of_rule,
    because_uncertified,
    for_class,
    for_false_alarm,
    for_normal,
)
from policies.rules import compile_rules
from policies.shots import ShotCombiner
from streams.codes import Action, FallbackKind, ReasonCode, Severity
from streams.events import (
    Classification,
    CountedPart,
    Decision,
    GoldenCheck,
    ShotVerdict,
)
from streams.ports import (
    ClassificationTexts,
    ClassText,
    Combination,
    LimitVerdict,
    Outcome,
    Situation,
)

_FALLBACK_CODES = {
    FallbackKind.UNKNOWN: ReasonCode.UNKNOWN_CLASS,
    FallbackKind.UNSURE: ReasonCode.UNSURE,
    FallbackKind.LATE: ReasonCode.LATE,
    FallbackKind.EXPERT_UNAVAILABLE: ReasonCode.EXPERT_UNAVAILABLE,
    FallbackKind.NO_DECISION: ReasonCode.NO_DECISION,
}
_ALL_NAMES = frozenset(VARIABLES)


class ResolvedPolicy:
    """A policy ready to decide. Implements ``streams.ports.Policy``.

    >>> crack = {"severity": "defect", "action": "scrap"}
    >>> document = PolicyDocument.model_validate({"product": "tile", "classes": {"crack": crack}})
    >>> answer = Classification(class_name="crack", confidence=0.9, classifier="example")
    >>> outcome = ResolvedPolicy(document).decide(Situation(classification=answer))
    >>> outcome.action.value, outcome.rule
    ('scrap', 'class:crack')

    Raises:
        InvalidPolicyError: a condition of the document does not compile.
    """

    def __init__(self, document: PolicyDocument, body: Body | None = None) -> None:
        self.document = document
        self.body: Body = body_of(document) if body is None else body
        self.product_id = document.product
        self.policy_hash = content_hash(self.body)
        self.audit_share = document.audit_share
        self.window_parts = max((limit.in_parts for limit in document.limits.values()), default=0)
        self.class_ids = class_ids(document)
        self.auto_pass = AutoPass(document)
        self.rules = compile_rules(document, document.rules, "rules")
        """The rules in order, each with its condition."""
        self.names = frozenset(n for _, condition in self.rules for n in condition.variables)
        self.measurements = Measurements(document, self.names, self.scale)
        over_shots = compile_rules(document, document.shots.rules, "shots.rules", of_shots=True)
        used = frozenset(n for _, condition in over_shots for n in condition.variables)
        self._shots = ShotCombiner(
            document, over_shots, Measurements(document, used, self.scale).known
        )

    @classmethod
    def from_body(cls, body: Body, expected_hash: str | None = None) -> "ResolvedPolicy":
        """The policy of a stored or published body.

        Raises:
            TamperedPolicyError: the body does not have the hash it was published under.
            pydantic.ValidationError: it is not a policy document.
        """
        found = content_hash(body)
        if expected_hash is not None and found != expected_hash:
            raise TamperedPolicyError(
                f"policy published as {expected_hash[:12]} has the content {found[:12]}; apply the "
                "product's policy again from its file"
            )
        return cls(PolicyDocument.model_validate(body), body)

    def scale(self, station: str) -> float | None:
        """Millimetres per pixel at the station, or None without a scale."""
        return self.document.mm_per_px.get(station, self.document.mm_per_px.get("default"))

    def texts(self, station: str) -> ClassificationTexts:
        """What the classifier may know; the classes in the order of their numbers."""
        document = self.document
        ordered = sorted(document.classes.items(), key=lambda item: self.class_ids[item[0]])
        return ClassificationTexts(
            product_id=document.product,
            policy_hash=self.policy_hash,
            normal_description=document.normal.description,
            strategy=document.strategy,
            classes=tuple(
                ClassText(name, c.display_name or name, c.description) for name, c in ordered
            ),
            egress=document.egress,
            mm_per_pixel=self.scale(station),
            stop_rate=document.stop_rate,
        )

    def decide(self, situation: Situation) -> Outcome:
        """What to do with the part."""
        return _Decision(self, situation).outcome()

    def combine(self, shots: Sequence[ShotVerdict | None]) -> Combination:
        """What to do with a part of several shots."""
        return self._shots.combine(shots)

    def golden(self, part_id: str, action: Action, severity: Severity) -> GoldenCheck | None:
        """Whether a known part was judged as it should be; None for any other part."""
        known = self.document.golden.get(part_id)
        if known is None:
            return None
        is_right = action in known.action and known.severity in (None, severity)
        return GoldenCheck(actions=known.action, severity=known.severity, is_right=is_right)

    def observe(
        self, decision: Decision, before: Sequence[CountedPart], exceeded: frozenset[str]
    ) -> LimitVerdict:
        """One more part; an alert names the policy whose limit it is, not the decision's."""
        limits = self.document.limits
        return count_part(limits, self.policy_hash, decision, before, exceeded)

    def explain(self, situation: Situation) -> tuple[Outcome, tuple[str, ...]]:
        """The outcome and the path taken to it, one line per step."""
        decision = _Decision(self, situation)
        return decision.outcome(), tuple(decision.steps)

    def measure(self, situation: Situation) -> dict[str, Value]:
        """The values that conditions of any policy with this scale and zones would see."""
        return Measurements(self.document, _ALL_NAMES, self.scale).of(situation)

    def decide_measured(self, answer: Classification, values: Mapping[str, Value]) -> Outcome:
        """The decision for stated values of the measured names, as an analysis needs them.

        ``values`` need every name that a rule uses (``names``); no scale is asked for.
        """
        return _Decision(self, Situation(classification=answer), values).outcome()

    def explain_measured(
        self, answer: Classification, values: Mapping[str, Value]
    ) -> tuple[Outcome, tuple[str, ...]]:
        """Like ``explain`` for stated values; names that are left out count as absent."""
        situation = Situation(classification=answer)
        decision = _Decision(self, situation, {**self.measure(situation), **values})
        return decision.outcome(), tuple(decision.steps)


class _Decision:
    """One situation under one policy, on its way to an outcome; ``steps`` is the path taken.

    Args:
        policy: decides.
        situation: what is known of the part.
        values: the measured names' values; read from the situation when None.
    """

    def __init__(
        self,
        policy: ResolvedPolicy,
        situation: Situation,
        values: Mapping[str, Value] | None = None,
    ) -> None:
        self._policy, self._situation, self._values = policy, situation, values
        self.steps: list[str] = []

    def outcome(self) -> Outcome:
        situation = self._situation
        p_value, rate = _share_as_odd(situation), self._policy.document.stop_rate
        if rate is not None and p_value is not None:
            self.steps.append(f"p-value {p_value:.4f}, stop rate {rate:g}")
            if p_value > rate:
                passed = (self._policy.document.normal.false_alarm, Severity.NORMAL, "normal")
                reason = for_false_alarm(p_value, rate)
                return self._outcome(passed, ReasonCode.NORMAL, reason, "stop_rate")
        if situation.fallback is not None:
            return self._fallback(situation.fallback)
        if situation.classification is not None:
            return self._classified(situation.classification)
        if situation.inspection is None or situation.inspection.anomalous:
            self.steps.append("neither a normal frame nor a classification nor a stated fallback")
            return self._fallback(FallbackKind.NO_DECISION)
        self.steps.append("the expert found nothing odd: normal")
        found = (Action.PASS, Severity.NORMAL, "normal")
        return self._outcome(found, ReasonCode.NORMAL, for_normal(situation.inspection), "normal")

    def _classified(self, answer: Classification) -> Outcome:
        name, document = answer.class_name, self._policy.document
        if name not in document.classes and name not in ("normal", "unknown"):
            self.steps.append(f"class {name!r} is not among the policy's: unknown")
            return self._fallback(FallbackKind.UNKNOWN)
        below = document.fallbacks.unsure.below
        if name != "unknown" and answer.confidence < below:
            self.steps.append(f"confidence {answer.confidence:.3f} is below {below:g}: unsure")
            return self._fallback(FallbackKind.UNSURE)
        self.steps.append(f"class {name!r}, confidence {answer.confidence:.3f}")
        decided = self._by_rules(answer) if self._policy.rules else None
        if decided is None and name == "unknown":
            return self._fallback(FallbackKind.UNKNOWN)
        return self._certified(decided or self._by_class(answer), answer)

    def _certified(self, found: Outcome, answer: Classification) -> Outcome:
        """A part that a class or rule lets pass needs a certificate where the policy says so.

        For stated values no version is stated: they are taken as the certificate's.
        """
        asked, by_word = self._policy.auto_pass, not found.rule.startswith("fallback:")
        if not asked.is_asked or found.action is not Action.PASS or not by_word:
            return found
        stated = self._values is not None
        lacking = (
            asked.unsure(answer) if stated else asked.lacks(answer, self._situation.inspection)
        )
        if not lacking:
            words = asked.words(answer.class_name)
            self.steps.append(words)
            return replace(found, reason=f"{found.reason} {words}")
        self.steps.append(f"may not pass by itself: {lacking}")
        action = self._policy.document.fallbacks.unsure.action
        action = Action.HOLD if action is Action.PASS else action
        reason = because_uncertified(self._display(answer.class_name), answer, lacking)
        held = (action, Severity.UNKNOWN, answer.class_name)
        return self._outcome(held, ReasonCode.UNSURE, reason, "fallback:unsure")

    def _by_rules(self, answer: Classification) -> Outcome | None:
        """What the first rule that holds says, or None when none does."""
        policy, values, station = self._policy, self._values, self._situation.station
        if values is None:
            if policy.names & MILLIMETRES and policy.scale(station) is None:
                self.steps.append(f"station {station!r} has no scale, so millimetres are unknown")
                return self._fallback(FallbackKind.UNSURE, "no scale for this station")
            values = policy.measurements.of(self._situation)
        context = context_of(values)
        for rule, condition in policy.rules:
            try:
                holds = condition.holds(context)
            except Exception as error:  # noqa: BLE001 - total: whatever CEL raises, hold the part
                self.steps.append(f"rule {rule.name}: cannot be evaluated ({error})")
                detail = f"rule {rule.name} cannot be evaluated"
                return self._fallback(FallbackKind.NO_DECISION, detail)
            self.steps.append(f"rule {rule.name}: {rule.when} is {'true' if holds else 'false'}")
            if holds:
                measured = {n: values[n] for n in condition.variables if n in values}
                return self._by_rule(rule, answer, measured)
        return None

    def _by_rule(
        self, rule: Rule, answer: Classification, measured: Mapping[str, Value]
    ) -> Outcome:
        name = answer.class_name
        found = (rule.action, rule.severity or self._severity_of_class(name), name)
        reason = because_of_rule(rule, self._display(name), answer, measured)
        return self._outcome(found, ReasonCode.RULE, reason, f"rule:{rule.name}")

    def _by_class(self, answer: Classification) -> Outcome:
        name, document = answer.class_name, self._policy.document
        known, severity = document.classes.get(name), self._severity_of_class(name)
        action = known.action if known else document.normal.false_alarm
        self.steps.append(f"no rule holds: class {name!r} is {severity.value}, {action.value}")
        reason = for_class(self._display(name), severity, answer)
        return self._outcome((action, severity, name), ReasonCode.CLASS, reason, f"class:{name}")

    def _fallback(self, kind: FallbackKind, detail: str = "") -> Outcome:
        fallbacks, answer = self._policy.document.fallbacks, self._situation.classification
        failure = self._situation.failure
        action = fallbacks.action_of(kind)
        code = _FALLBACK_CODES[kind]
        if failure is not None and failure.reason_code is not ReasonCode.NONE:
            code = failure.reason_code
        name = answer.class_name if answer and kind is FallbackKind.UNSURE else "unknown"
        self.steps.append(f"fallback {kind.value}: {action.value}")
        inspected = self._situation.inspection is not None
        below = fallbacks.unsure.below
        reason = because_of_fallback(kind, answer, failure, below, detail, inspected)
        found = (action, Severity.UNKNOWN, name)
        return self._outcome(found, code, reason, f"fallback:{kind.value}")

    def _outcome(
        self, found: tuple[Action, Severity, str], code: ReasonCode, reason: str, rule: str
    ) -> Outcome:
        action, severity, name = found
        return Outcome(
            action, severity, name, self._policy.class_ids.get(name, -1), code, reason, rule
        )

    def _display(self, name: str) -> str:
        known = self._policy.document.classes.get(name)
        return (known.display_name if known else "") or name

    def _severity_of_class(self, name: str) -> Severity:
        known = self._policy.document.classes.get(name)
        if known is not None:
            return known.severity
        return Severity.NORMAL if name == "normal" else Severity.UNKNOWN


def _share_as_odd(situation: Situation) -> float | None:
    """The share of normal parts that look as odd, which ``stop_rate`` is compared with.

    None where a stop rate has no say.

    It is that of expert and classifier together, or of the expert alone where the two were not
    calibrated together or the classifier came too late. A part that nobody inspected, or that
    failed otherwise, is not judged by it; nor is one that is odder than every normal part that the
    expert knows: few parts cannot vouch for a small share, and it must not pass for that.
    """
    inspection, answer = situation.inspection, situation.classification
    if inspection is None or not inspection.anomalous:
        return None
    if answer is None and situation.fallback is not FallbackKind.LATE:
        return None
    if answer is not None and answer.normal_p_value is not None:
        return answer.normal_p_value
    return None if inspection.p_value <= inspection.least_p_value else inspection.p_value
