"""A policy that asks certificates lets a part pass only under one that is in force."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.certified import deciding_hash
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from policies.review.diff import difference
from streams.codes import Action, ReasonCode, Severity
from streams.events import Classification, Inspection
from streams.ports import Situation
from tests.policies.test_properties import bodies, policy_of, relaxed, situations

BODY: dict[str, Any] = {
    "product": "tile",
    "classes": {
        "crack": {"severity": "defect", "action": "scrap"},
        "dust": {"severity": "negligible", "action": "pass"},
        "stain": {"severity": "negligible", "action": "pass"},
    },
    "rules": [{"name": "tiny", "when": "class == 'crack' && area_px < 4", "action": "pass"}],
    "fallbacks": {"unsure": {"below": 0.2, "action": "rework"}},
}
CERTIFICATE = {
    "escape": 0.05,
    "confidence": 0.95,
    "issued": "2026-11-28",
    "expert_version": "e1",
    "classifier": "prototypes",
    "exemplars_version": "x1",
    "classes": {"dust": {"from_confidence": 0.7, "reviews": 120, "escapes": 1, "bound": 0.0494}},
}


def certified(**changes: object) -> ResolvedPolicy:
    """The policy with its certificate; ``changes`` are made to the policy afterwards."""
    decides = deciding_hash(PolicyDocument.model_validate(BODY))
    body = {
        **BODY, "auto_pass": "certified", "certificate": {**CERTIFICATE, "decides": decides},
    }  # fmt: skip
    return ResolvedPolicy(PolicyDocument.model_validate(body | changes))


def answered(name: str, confidence: float = 0.9, **other: str) -> Situation:
    versions = {"classifier": "prototypes", "exemplars_version": "x1"} | other
    expert = versions.pop("expert_version", "e1")
    inspection = Inspection(
        score=3.0, threshold=2.0, p_value=0.01, anomalous=True, expert_version=expert
    )
    answer = Classification(class_name=name, confidence=confidence, **versions)
    return Situation(inspection=inspection, classification=answer)


@pytest.mark.parametrize("name", ["crack", "stain", "normal", "unknown"])
def test_the_stop_rate_draws_the_line_before_any_certificate(name: str) -> None:
    """Above it a part is as normal as one that the expert never sent; below it, words count."""
    policy = certified(stop_rate=0.05)
    situation = answered(name)
    assert situation.classification is not None
    for p_value, rule in ((0.06, "stop_rate"), (0.04, None)):
        judged = situation.classification.model_copy(update={"normal_p_value": p_value})
        outcome = policy.decide(replace(situation, classification=judged))
        assert (outcome.rule == "stop_rate") is (rule is not None)
        assert (outcome.action is Action.PASS) is (rule is not None)
        assert (outcome.reason_code is ReasonCode.NORMAL) is (rule is not None)


def test_another_stop_rate_ends_a_certificate() -> None:
    outcome = certified(stop_rate=0.05).decide(answered("dust"))
    assert outcome.action is not Action.PASS
    body = {**BODY, "stop_rate": 0.05}
    assert deciding_hash(PolicyDocument.model_validate(body)) != deciding_hash(
        PolicyDocument.model_validate(BODY)
    )


def test_a_certified_class_passes_and_the_reason_names_the_certificate() -> None:
    outcome = certified().decide(answered("dust"))
    assert (outcome.action, outcome.rule) == (Action.PASS, "class:dust")
    assert "Certified 2026-11-28 at 95% confidence: at most 5.0%" in outcome.reason
    assert "120 reviews" in outcome.reason


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        (answered("stain"), "not among the classes of the certificate of 2026-11-28"),
        (answered("normal"), "not among the classes of the certificate"),
        (answered("dust", 0.6), "certified from a confidence of 0.700 on"),
        (answered("dust", expert_version="e2"), "another expert version (e1)"),
        (answered("dust", exemplars_version="x2"), "another exemplars version (x1)"),
        (answered("dust", prompt_hash="p"), "another prompt hash (none)"),
        (answered("dust", classifier="velm"), "another classifier"),
        (answered("crack"), "not among the classes of the certificate"),
    ],
)
def test_what_is_not_certified_takes_the_unsure_fallback(situation: Situation, words: str) -> None:
    outcome = certified().decide(situation)
    assert (outcome.action, outcome.severity) == (Action.REWORK, Severity.UNKNOWN)
    assert (outcome.rule, outcome.reason_code) == ("fallback:unsure", ReasonCode.UNSURE)
    assert "may not pass by itself" in outcome.reason
    assert words in outcome.reason


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "look twice"},
        {"rules": []},
        {"classes": {**BODY["classes"], "dust": {"severity": "defect", "action": "pass"}}},
    ],
)
def test_another_policy_needs_another_certificate(change: dict[str, object]) -> None:
    outcome = certified(**change).decide(answered("dust"))
    assert outcome.action is Action.REWORK
    assert "the policy changed after its certificate" in outcome.reason


def test_what_changes_no_decision_leaves_the_certificate_in_force() -> None:
    change = {"audit_share": 0.3, "title": "Tile", "takt_s": 2.0}
    assert certified(**change).decide(answered("dust")).action is Action.PASS


def test_without_a_certificate_nothing_odd_passes() -> None:
    policy = certified(certificate=None)
    assert policy.decide(answered("dust")).action is Action.REWORK
    assert policy.decide(answered("crack")).action is Action.REWORK, "a rule lets it pass"
    normal = Inspection(score=1, threshold=2, p_value=0.5, anomalous=False, expert_version="e1")
    assert policy.decide(Situation(inspection=normal)).action is Action.PASS


def test_a_fallback_that_would_pass_holds_instead() -> None:
    policy = certified(fallbacks={"unsure": {"action": "pass"}})
    assert policy.decide(answered("stain")).action is Action.HOLD


def test_explaining_names_the_step_and_takes_the_certificates_versions() -> None:
    answer = Classification(class_name="dust", confidence=0.5, classifier="explain")
    outcome, steps = certified().explain_measured(answer, {"class": "dust", "area_px": 9.0})
    assert outcome.action is Action.REWORK
    assert "may not pass by itself: it is certified from a confidence of 0.700 on" in steps
    sure = answer.model_copy(update={"confidence": 0.8})
    assert certified().explain_measured(sure, {"class": "dust", "area_px": 9.0})[0].action == "pass"


def test_asking_no_certificate_any_more_is_a_softening_and_asking_one_is_none() -> None:
    without = certified(auto_pass="all")
    softer = difference(certified(), without)
    assert {"dust", "stain", "normal"} <= {s.what for s in softer.softenings}
    assert "auto_pass: certified -> all" in softer.lines()
    assert not difference(without, certified()).softens


def test_a_certificate_from_a_lower_confidence_is_a_softening() -> None:
    document = certified().document
    assert document.certificate is not None
    known = document.certificate.classes["dust"]
    lower = {"dust": known.model_copy(update={"from_confidence": 0.4})}
    wider = document.certificate.model_copy(update={"classes": lower})
    new = ResolvedPolicy(document.model_copy(update={"certificate": wider}))
    (softening,) = difference(certified(), new).softenings
    assert (softening.what, softening.before) == ("dust", Action.REWORK)


@relaxed
@given(body=bodies, situation=situations, least=st.floats(0, 1))
def test_asking_certificates_never_lets_more_pass(
    body: dict[str, Any], situation: Situation, least: float
) -> None:
    plain = policy_of(body)
    certificate = {
        **CERTIFICATE,
        "expert_version": "e",
        "classifier": "c",
        "exemplars_version": "",
        "decides": deciding_hash(plain.document),
        "classes": {"dust": {"from_confidence": least}},
    }
    asking = policy_of({**body, "auto_pass": "certified", "certificate": certificate})
    before, after = plain.decide(situation), asking.decide(situation)
    if before.action is not Action.PASS or before.rule.startswith(("fallback:", "normal")):
        assert after == before
        return
    answer, inspection = situation.classification, situation.inspection
    assert answer is not None
    covered = answer.class_name == "dust" and answer.confidence >= least and inspection is not None
    assert (after.action is Action.PASS) is covered
