"""Twins of ``streams.ports.Policy`` and ``streams.ports.PolicySource``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from policies.defaults import HoldEverything
from streams.codes import Action, FallbackKind, ReasonCode, Severity
from streams.events import CountedPart, Decision, GoldenCheck, ShotVerdict
from streams.ports import (
    ClassificationTexts,
    Combination,
    Failure,
    LimitVerdict,
    Outcome,
    Policy,
    Situation,
)


@dataclass(frozen=True)
class TwinPolicy:
    """Normal passes, a crack is scrapped, every fallback is held."""

    product_id: str
    policy_hash: str = "policy-1"
    audit_share: float = 0.0
    window_parts: int | None = 0

    def golden(self, part_id: str, action: Action, severity: Severity) -> GoldenCheck | None:
        """Parts named ``golden`` are good, and must pass."""
        if part_id != "golden":
            return None
        return GoldenCheck(actions=(Action.PASS,), is_right=action is Action.PASS)

    def observe(
        self, decision: Decision, before: Sequence[CountedPart], exceeded: frozenset[str]
    ) -> LimitVerdict:
        return LimitVerdict()

    def texts(self, station: str) -> ClassificationTexts:
        return ClassificationTexts(self.product_id, self.policy_hash)

    def decide(self, situation: Situation) -> Outcome:
        if situation.fallback is not None:
            why = situation.failure or Failure(ReasonCode.NONE, "", "")
            rule = f"fallback:{situation.fallback.value}"
            words = {"reason_code": why.reason_code, "reason": why.message, "rule": rule}
            return Outcome(Action.HOLD, Severity.UNKNOWN, **words)
        if situation.classification is not None:
            name = situation.classification.class_name
            return Outcome(Action.SCRAP, Severity.DEFECT, name, 1, ReasonCode.CLASS)
        return Outcome(Action.PASS, Severity.NORMAL, "normal", -1, ReasonCode.NORMAL, rule="normal")

    def combine(self, shots: Sequence[ShotVerdict | None]) -> Combination:
        """The first shot that does not pass decides; a missing one is held."""
        missing = self.decide(Situation(fallback=FallbackKind.NO_DECISION))
        each = tuple(
            Outcome(s.action, s.severity, s.class_name, s.class_id, s.reason_code, s.reason, s.rule)
            if s is not None
            else missing
            for s in shots
        )
        stopped = [n for n, outcome in enumerate(each) if outcome.action is not Action.PASS]
        deciding = stopped[0] if stopped else 0
        return Combination(each[deciding], deciding, each)


@dataclass
class TwinPolicies:
    """``streams.ports.PolicySource``: a ``TwinPolicy`` for ``tile``, and what is put in force."""

    audit_share: float = 0.0
    in_force: dict[str, Policy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.put(TwinPolicy("tile", audit_share=self.audit_share))

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def versions(self) -> Mapping[str, str]:
        return {product: policy.policy_hash for product, policy in self.in_force.items()}

    def tell(self, on_down: Callable[[bool], None]) -> None: ...

    def put(self, policy: Policy) -> None:
        self.in_force[policy.product_id] = policy

    def for_product(self, product_id: str) -> Policy:
        return self.in_force.get(product_id) or HoldEverything(product_id)
