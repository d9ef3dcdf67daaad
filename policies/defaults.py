"""The policy of products that have none."""

from collections.abc import Sequence
from dataclasses import dataclass

from streams.codes import Action, ReasonCode, Severity
from streams.events import CountedPart, Decision, ShotVerdict
from streams.ports import ClassificationTexts, Combination, LimitVerdict, Outcome, Situation


@dataclass(frozen=True)
class HoldEverything:
    """Holds every part of a product without a policy. Implements ``streams.ports.Policy``."""

    product_id: str
    policy_hash: str = ""
    audit_share: float = 0.0
    window_parts: None = None

    def texts(self, station: str) -> ClassificationTexts:
        return ClassificationTexts(self.product_id, self.policy_hash)

    def decide(self, situation: Situation) -> Outcome:
        return Outcome(
            action=Action.HOLD,
            severity=Severity.UNKNOWN,
            class_name="unknown",
            reason_code=ReasonCode.UNKNOWN_PRODUCT,
            reason="No policy is in force for this product; apply one with `andon policy apply`.",
            rule="unknown_product",
        )

    def combine(self, shots: Sequence[ShotVerdict | None]) -> Combination:
        held = self.decide(Situation())
        return Combination(held, 0, (held,) * len(shots))

    def golden(self, part_id: str, action: Action, severity: Severity) -> None:
        return None

    def observe(
        self, decision: Decision, before: Sequence[CountedPart], exceeded: frozenset[str]
    ) -> LimitVerdict:
        return LimitVerdict()
