"""``(policy, situation) -> outcome``: pure, total, deterministic."""

from collections.abc import Callable, Mapping

from policies.condition_types import Vocabulary
from policies.conditions import CompiledCondition, context_of
from policies.errors import ConditionError, InvalidPolicyError, Problem, TamperedPolicyError
from policies.measures import MILLIMETRES, VARIABLES, Measures, Value
from policies.model import AnomalyClass, PolicyDocument, Rule
from policies.sentences import because_of_fallback, because_of_rule, for_class, for_normal
from policies.versions import Body, body_of, content_hash
from streams.codes import Action, FallbackKind, ReasonCode, Severity
from streams.events import Classification
from streams.ports import ClassificationTexts, ClassText, Outcome, Situation

Step = Callable[[str], None]
_FALLBACK_CODES = {
    FallbackKind.UNKNOWN: ReasonCode.UNKNOWN_CLASS,
    FallbackKind.UNSURE: ReasonCode.UNSURE,
    FallbackKind.LATE: ReasonCode.LATE,
    FallbackKind.EXPERT_UNAVAILABLE: ReasonCode.EXPERT_UNAVAILABLE,
    FallbackKind.NO_DECISION: ReasonCode.NO_DECISION,
}


class ResolvedPolicy:
    """A policy ready to decide. Implements ``streams.ports.Policy``.

    Raises:
        InvalidPolicyError: a condition of the document does not compile.
    """

    def __init__(self, document: PolicyDocument, body: Body | None = None) -> None:
        self.document = document
        self.body: Body = body_of(document) if body is None else body
        self.class_ids = class_ids(document)
        self._hash = content_hash(self.body)
        self._rules = _compile(document)
        self.names = frozenset(n for _, condition in self._rules for n in condition.variables)
        self._uses_millimetres = bool(self.names & MILLIMETRES)
        self._measures = Measures(document, self.names)

    @classmethod
    def from_body(cls, body: Body, expected_hash: str | None = None) -> "ResolvedPolicy":
        """From a stored or published body.

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

    @property
    def rules(self) -> tuple[tuple[Rule, CompiledCondition], ...]:
        """The rules in order, each with its condition."""
        return self._rules

    @property
    def product_id(self) -> str:
        return self.document.product

    @property
    def policy_hash(self) -> str:
        return self._hash

    @property
    def audit_share(self) -> float:
        return self.document.audit_share

    def texts(self, station: str) -> ClassificationTexts:
        """What the classifier may know; the classes in the order of their numbers."""
        document = self.document
        ordered = sorted(document.classes.items(), key=lambda item: self.class_ids[item[0]])
        return ClassificationTexts(
            product_id=document.product,
            policy_hash=self._hash,
            normal_description=document.normal.description,
            strategy=document.strategy,
            classes=tuple(
                ClassText(name, c.display_name or name, c.description) for name, c in ordered
            ),
            egress=document.egress,
            mm_per_pixel=self._measures.scale(station),
        )

    def decide(self, situation: Situation) -> Outcome:
        return self._decide(situation, None)

    def explain(self, situation: Situation) -> tuple[Outcome, tuple[str, ...]]:
        """The outcome and the path taken to it, one line per step."""
        steps: list[str] = []
        return self._decide(situation, steps.append), tuple(steps)

    def measure(self, situation: Situation) -> dict[str, Value]:
        """The values that conditions of any policy with this scale and zones would see."""
        return Measures(self.document, frozenset(VARIABLES)).of(situation)

    def _decide(self, situation: Situation, step: Step | None) -> Outcome:
        if situation.fallback is not None:
            return self._fallback(situation, situation.fallback, step)
        answer = situation.classification
        if answer is None:
            if situation.inspection is not None and not situation.inspection.anomalous:
                _say(step, "the expert found nothing odd: normal")
                reason = for_normal(situation.inspection)
                return Outcome(
                    Action.PASS, Severity.NORMAL, "normal", -1, ReasonCode.NORMAL, reason, "normal"
                )
            _say(step, "neither a normal frame nor a classification nor a stated fallback")
            return self._fallback(situation, FallbackKind.NO_DECISION, step)
        return self._classified(situation, answer, step)

    def _classified(
        self,
        situation: Situation,
        answer: Classification,
        step: Step | None,
        values: Mapping[str, Value] | None = None,
    ) -> Outcome:
        name = answer.class_name
        known = self.document.classes.get(name)
        if known is None and name not in ("normal", "unknown"):
            _say(step, f"class {name!r} is not among the policy's: unknown")
            return self._fallback(situation, FallbackKind.UNKNOWN, step)
        unsure = self.document.fallbacks.unsure
        if name != "unknown" and answer.confidence < unsure.below:
            _say(step, f"confidence {answer.confidence:.3f} is below {unsure.below:g}: unsure")
            return self._fallback(situation, FallbackKind.UNSURE, step)
        _say(step, f"class {name!r}, confidence {answer.confidence:.3f}")
        if self._rules:
            if values is None:
                outcome = self._first_rule(situation, answer, known, step)
            else:
                outcome = self._fire(values, situation, answer, known, step)
            if outcome is not None:
                return outcome
        if name == "unknown":
            return self._fallback(situation, FallbackKind.UNKNOWN, step)
        return self._by_class(answer, known, step)

    def _first_rule(
        self,
        situation: Situation,
        answer: Classification,
        known: AnomalyClass | None,
        step: Step | None,
    ) -> Outcome | None:
        if self._uses_millimetres and self._measures.scale(situation.station) is None:
            _say(step, f"station {situation.station!r} has no scale, so millimetres are unknown")
            return self._fallback(situation, FallbackKind.UNSURE, step, "no scale for this station")
        return self._fire(self._measures.of(situation), situation, answer, known, step)

    def decide_measured(self, answer: Classification, values: Mapping[str, Value]) -> Outcome:
        """The decision for stated values of the measured names, as an analysis needs them.

        ``values`` need every name that a rule uses (``names``); no scale is asked for.
        """
        situation = Situation(classification=answer)
        return self._classified(situation, answer, None, values)

    def explain_measured(
        self, answer: Classification, values: Mapping[str, Value]
    ) -> tuple[Outcome, tuple[str, ...]]:
        """Like ``explain`` for stated values; names that are left out count as absent."""
        absent = Measures(self.document, frozenset(VARIABLES)).of(Situation(classification=answer))
        steps: list[str] = []
        situation = Situation(classification=answer)
        outcome = self._classified(situation, answer, steps.append, {**absent, **values})
        return outcome, tuple(steps)

    def _fire(
        self,
        values: Mapping[str, Value],
        situation: Situation,
        answer: Classification,
        known: AnomalyClass | None,
        step: Step | None,
    ) -> Outcome | None:
        context = context_of(values)
        for rule, condition in self._rules:
            try:
                holds = condition.holds(context)
            except Exception as error:  # noqa: BLE001 - total: whatever CEL raises, hold the part
                _say(step, f"rule {rule.name}: cannot be evaluated ({error})")
                detail = f"rule {rule.name} cannot be evaluated"
                return self._fallback(situation, FallbackKind.NO_DECISION, step, detail)
            _say(step, f"rule {rule.name}: {rule.when} is {'true' if holds else 'false'}")
            if holds:
                return self._by_rule(rule, condition, answer, known, values)
        return None

    def _by_rule(
        self,
        rule: Rule,
        condition: CompiledCondition,
        answer: Classification,
        known: AnomalyClass | None,
        values: Mapping[str, Value],
    ) -> Outcome:
        severity = rule.severity or _severity_without_rule(answer.class_name, known)
        measured = {n: values[n] for n in condition.variables if n in values}
        return Outcome(
            action=rule.action,
            severity=severity,
            class_name=answer.class_name,
            class_id=self.class_ids.get(answer.class_name, -1),
            reason_code=ReasonCode.RULE,
            reason=because_of_rule(rule, self._display(answer.class_name), answer, measured),
            rule=f"rule:{rule.name}",
        )

    def _by_class(
        self, answer: Classification, known: AnomalyClass | None, step: Step | None
    ) -> Outcome:
        name = answer.class_name
        severity = _severity_without_rule(name, known)
        action = known.action if known else self.document.normal.false_alarm
        _say(step, f"no rule holds: class {name!r} is {severity.value}, {action.value}")
        return Outcome(
            action=action,
            severity=severity,
            class_name=name,
            class_id=self.class_ids.get(name, -1),
            reason_code=ReasonCode.CLASS,
            reason=for_class(self._display(name), severity, answer),
            rule=f"class:{name}",
        )

    def _fallback(
        self, situation: Situation, kind: FallbackKind, step: Step | None, detail: str = ""
    ) -> Outcome:
        fallbacks = self.document.fallbacks
        action: Action = (
            fallbacks.unsure.action
            if kind is FallbackKind.UNSURE
            else getattr(fallbacks, kind.value)
        )
        failure, answer = situation.failure, situation.classification
        code = _FALLBACK_CODES[kind]
        if failure is not None and failure.reason_code is not ReasonCode.NONE:
            code = failure.reason_code
        guess = kind is FallbackKind.UNSURE and answer is not None
        name = answer.class_name if guess and answer is not None else "unknown"
        _say(step, f"fallback {kind.value}: {action.value}")
        return Outcome(
            action=action,
            severity=Severity.UNKNOWN,
            class_name=name,
            class_id=self.class_ids.get(name, -1),
            reason_code=code,
            reason=because_of_fallback(kind, answer, failure, fallbacks.unsure.below, detail),
            rule=f"fallback:{kind.value}",
        )

    def _display(self, name: str) -> str:
        known = self.document.classes.get(name)
        return (known.display_name if known else "") or name


def class_ids(document: PolicyDocument) -> dict[str, int]:
    """Number of each class: the one it states, else the smallest free one in name order."""
    stated = {name: c.id for name, c in document.classes.items() if c.id is not None}
    taken, ids, candidate = set(stated.values()), dict(stated), 0
    for name in sorted(document.classes):
        if name in ids:
            continue
        while candidate in taken:
            candidate += 1
        ids[name] = candidate
        taken.add(candidate)
    return ids


def _severity_without_rule(name: str, known: AnomalyClass | None) -> Severity:
    if known is not None:
        return known.severity
    return Severity.NORMAL if name == "normal" else Severity.UNKNOWN


def vocabulary_of(document: PolicyDocument) -> Vocabulary:
    """The names that the document's conditions may use."""
    return Vocabulary(
        classes=frozenset(document.classes),
        zones=frozenset(zone.name for zone in document.zones),
        shifts=frozenset(document.shifts),
    )


def _compile(document: PolicyDocument) -> tuple[tuple[Rule, CompiledCondition], ...]:
    vocabulary = vocabulary_of(document)
    compiled, problems = [], []
    for index, rule in enumerate(document.rules):
        try:
            compiled.append((rule, CompiledCondition(rule.when, vocabulary)))
        except ConditionError as error:
            at = f"rules[{index}].when"
            problems.append(Problem(document.product, 0, 0, "E301", at, str(error)))
    if problems:
        raise InvalidPolicyError(problems)
    return tuple(compiled)


def _say(step: Step | None, text: str) -> None:
    if step is not None:
        step(text)
