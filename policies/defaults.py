"""Policies for products that have none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from policies.errors import PolicyError
from policies.model import PolicyDocument, body_of
from streams.codes import Action, ReasonCode, Severity
from streams.events import CountedPart, Decision
from streams.ports import ClassificationTexts, LimitVerdict, Outcome, Situation


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

    def observe(
        self, decision: Decision, before: Sequence[CountedPart], exceeded: frozenset[str]
    ) -> LimitVerdict:
        return LimitVerdict()


def hold_all_classes(product_id: str, class_names: Iterable[str]) -> dict[str, object]:
    """Body of a policy in which every class is a defect and held; the fallbacks hold too.

    Raises:
        PolicyError: a name cannot be a product id or a class name.
    """
    held = {"severity": Severity.DEFECT.value, "action": Action.HOLD.value}
    classes = {name: {**held, "display_name": name.replace("_", " ")} for name in class_names}
    try:
        document = PolicyDocument.model_validate({"product": product_id, "classes": classes})
    except ValidationError as error:
        names = sorted({str(e["input"])[:64] for e in error.errors(include_url=False)})
        raise PolicyError(
            f"{', '.join(map(repr, names))} cannot be a product or class name: rename the folder; "
            "allowed are letters, digits, blanks and _ . ( ) + -, at most 64 characters "
            "(a product id has no blanks)"
        ) from None
    reserved = sorted({"normal", "unknown"} & set(document.classes))
    if reserved:
        raise PolicyError(
            f"{', '.join(reserved)} cannot be a class, it is an answer itself: rename the folder"
        )
    return body_of(document)
