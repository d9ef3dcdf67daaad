"""A policy with a limit, and decisions to count, for the tests of the limits role."""

from collections.abc import Mapping
from datetime import UTC, datetime

from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from streams.codes import Action, DecisionSource, Evaluation, ReasonCode, Severity
from streams.events import Decision, decision_id
from tests.contracts.twins.policies import TwinPolicies
from tests.streams.made import frame, inspection

LIMITS: dict[str, dict[str, object]] = {
    "many": {"more_than": 3, "in_parts": 20, "action": ["scrap"], "stop": True}
}


def one_policy(limits: Mapping[str, object] = LIMITS) -> TwinPolicies:
    """The same policy for three products; others have none."""
    policies = TwinPolicies()
    for product in ("tile", "tile-0", "tile-1"):
        scrapped = {"severity": "defect", "action": "scrap"}
        body = {"product": product, "classes": {"crack": scrapped}, "limits": limits}
        policies.put(ResolvedPolicy(PolicyDocument.model_validate(body)))
    return policies


def decision(action: Action = Action.SCRAP, **changes: object) -> Decision:
    """A decision for a part of its own."""
    fields = frame().model_dump(include=set(Decision.model_fields)) | {
        "source": DecisionSource.CLASSIFIER,
        "evaluation": Evaluation.NOT_OK,
        "class_name": "crack",
        "severity": Severity.DEFECT,
        "action": action,
        "reason_code": ReasonCode.CLASS,
        "policy_hash": "policy-1",
        "inspection": inspection(True),
        "decided_at": datetime.now(UTC),
    }
    fields |= changes
    identity = decision_id(fields["frame_id"], DecisionSource(fields["source"]))
    return Decision.model_validate({"result_id": identity, **fields})


def parts(pattern: str, **changes: object) -> list[Decision]:
    """``x`` a scrapped part, ``.`` one that passed."""
    return [decision(Action.SCRAP if sign == "x" else Action.PASS, **changes) for sign in pattern]
