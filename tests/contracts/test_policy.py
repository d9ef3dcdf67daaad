"""The contract of ``streams.ports.Policy``: the twin, a resolved policy, and holding all parts."""

from itertools import product

import pytest

from policies.defaults import HoldEverything
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from streams.codes import Action, FallbackKind, ReasonCode, Severity
from streams.events import Classification
from streams.ports import Failure, Policy, Situation
from tests.contracts.twins.policies import TwinPolicy
from tests.history import make
from tests.streams import made

CRACK = {"severity": "defect", "action": "scrap"}
POLICIES: list[Policy] = [
    TwinPolicy("tile"),
    ResolvedPolicy(PolicyDocument.model_validate({"product": "tile", "classes": {"crack": CRACK}})),
    HoldEverything("tile"),
]
NAMED = Classification(class_name="crack", confidence=0.9, classifier="c")
FAILED = Failure(ReasonCode.LATE, "TimeoutError", "no answer")
SITUATIONS = [
    Situation(),
    Situation(inspection=make.inspection(anomalous=False)),
    Situation(inspection=make.inspection(), classification=NAMED),
    *(Situation(fallback=kind, failure=f) for kind, f in product(FallbackKind, (None, FAILED))),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_every_situation_has_one_outcome_that_explains_itself(policy: Policy) -> None:
    for situation in SITUATIONS:
        outcome = policy.decide(situation)
        assert outcome == policy.decide(situation)
        assert outcome.rule or outcome.reason_code is not ReasonCode.NONE
        if situation.fallback is not None:
            assert (outcome.action, outcome.severity) == (Action.HOLD, Severity.UNKNOWN)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_the_shots_of_a_part_have_one_outcome_and_one_that_decided(policy: Policy) -> None:
    good = made.verdict(1, expected=3)
    odd = made.verdict(2, expected=3, action=Action.SCRAP, severity=Severity.DEFECT)
    for shots in ([good], [None], [good, odd, None], [None, None, None], [good, good, good]):
        found = policy.combine(shots)
        assert found == policy.combine(shots)
        assert len(found.each) == len(shots)
        assert 0 <= found.deciding < len(shots)
        assert found.outcome.action is found.each[found.deciding].action
        if None in shots:
            assert found.outcome.action is not Action.PASS


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_it_says_whose_it_is(policy: Policy) -> None:
    assert policy.product_id == "tile"
    assert 0 <= policy.audit_share <= 1
    texts = policy.texts("cam-1")
    assert (texts.product_id, texts.policy_hash) == ("tile", policy.policy_hash)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_a_part_that_it_does_not_know_checks_nothing(policy: Policy) -> None:
    assert policy.golden("P1", Action.PASS, Severity.NORMAL) is None
