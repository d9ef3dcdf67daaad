"""What becomes of a frame or an anomaly, rule by rule: values in, events out."""

from datetime import UTC, datetime, timedelta

import pytest

from streams.codes import (
    Action,
    DecisionSource,
    Evaluation,
    FallbackKind,
    ReasonCode,
    Severity,
)
from streams.events import Anomaly, Classification, Decision
from streams.ids import audit_draw
from streams.ports import Failure, Outcome, Situation
from streams.roles.decisions import (
    Moment,
    classified,
    decide,
    evaluation_of,
    situation_of,
)
from streams.roles.inspected import anomalous, inspected_late, normal, not_inspected, sampled
from tests.contracts.twins.policies import TwinPolicy
from tests.streams.made import frame, inspection

POLICY = TwinPolicy("tile")
NOW = Moment(1_800_000_000.0, {"expert": 12.3456})


def failure(code: ReasonCode) -> Failure:
    return Failure(code, "TestError", "why")


def anomaly() -> Anomaly:
    found = anomalous(frame(), inspection(anomalous=True), NOW).anomaly
    assert found is not None
    return found


ANSWER = Classification(class_name="crack", confidence=0.9, classifier="twin")


@pytest.mark.parametrize(
    ("severity", "evaluation"),
    [
        (Severity.NORMAL, Evaluation.OK),
        (Severity.NEGLIGIBLE, Evaluation.OK),
        (Severity.DEFECT, Evaluation.NOT_OK),
        (Severity.UNKNOWN, Evaluation.NOT_DECIDABLE),
    ],
)
def test_what_a_severity_means_for_the_evaluation(
    severity: Severity, evaluation: Evaluation
) -> None:
    assert evaluation_of(severity) is evaluation


def test_a_part_is_in_the_audit_sample_below_the_share() -> None:
    part = frame().frame_id
    drawn = audit_draw(part)
    assert not sampled(part, drawn)
    assert sampled(part, drawn + 1e-9)
    assert not sampled(part, 0.0)


def test_a_classifier_that_is_away_is_no_dead_letter_and_bad_input_is() -> None:
    away = classified(anomaly(), failure(ReasonCode.CLASSIFIER_UNAVAILABLE), POLICY, NOW)
    assert away.dead is None
    assert away.decision is not None
    assert away.decision.source is DecisionSource.FALLBACK
    for code in (
        ReasonCode.UNDECODABLE_IMAGE,
        ReasonCode.MALFORMED_EVENT,
        ReasonCode.NO_ARTIFACT,
    ):
        bad = classified(anomaly(), failure(code), POLICY, NOW)
        assert bad.dead is not None
        assert bad.dead.reason_code is code


def test_after_the_fallback_a_failure_decides_nothing_and_an_answer_is_late() -> None:
    failed = classified(anomaly(), failure(ReasonCode.LATE), POLICY, NOW, after_another=True)
    assert failed.decision is None
    second = classified(anomaly(), ANSWER, POLICY, Moment(0.0), after_another=True).decision
    first = classified(anomaly(), ANSWER, POLICY, Moment(0.0)).decision
    assert second is not None
    assert first is not None
    assert (second.is_late, first.is_late) == (True, False)
    assert (first.action, first.source) == (Action.SCRAP, DecisionSource.CLASSIFIER)


def test_a_decision_at_its_deadline_is_in_time() -> None:
    part = frame().model_copy(update={"deadline": datetime.fromtimestamp(NOW.now_s, tz=UTC)})
    assert not decide(part, POLICY, DecisionSource.EXPERT, NOW).is_late
    late = part.model_copy(update={"deadline": part.deadline - timedelta(microseconds=1)})
    assert decide(late, POLICY, DecisionSource.EXPERT, NOW).is_late


def test_the_time_of_the_policy_is_told_in_milliseconds_beside_those_before() -> None:
    class Slow(TwinPolicy):
        def decide(self, situation: Situation) -> Outcome:
            for _ in range(20_000):
                pass
            return super().decide(situation)

    found = decide(frame(), Slow("tile"), DecisionSource.EXPERT, NOW).timings_ms
    assert found["expert"] == 12.346
    assert 0.01 < found["policy"] < 60_000


def test_an_anomaly_says_why_it_is_kept_and_whether_it_is_to_be_classified() -> None:
    assert (anomaly().reason, anomaly().classify) == ("anomalous", True)
    always = TwinPolicy("tile", audit_share=1.0)
    audited = normal(frame(), inspection(anomalous=False), always, NOW)
    assert audited.anomaly is not None
    assert (audited.anomaly.reason, audited.anomaly.classify) == ("audit", False)
    assert normal(frame(), inspection(anomalous=False), POLICY, NOW).anomaly is None
    late = inspected_late(frame(), inspection(anomalous=True), NOW)
    assert late.anomaly is not None
    assert (late.anomaly.reason, late.anomaly.classify) == ("decided", False)
    lost = inspected_late(frame(), failure(ReasonCode.LATE), NOW)
    assert (lost.anomaly, lost.decision) == (None, None)
    assert lost.dead is not None


def test_what_was_not_inspected_is_decided_and_its_bytes_are_kept() -> None:
    found = not_inspected(frame(), failure(ReasonCode.NO_ARTIFACT), POLICY, NOW)
    assert found.dead is not None
    assert isinstance(found.decision, Decision)
    assert found.decision.rule == "fallback:expert_unavailable"


def test_the_fallback_fits_the_failure_and_what_nobody_foresaw_is_no_decision() -> None:
    kinds = {
        ReasonCode.LATE: FallbackKind.LATE,
        ReasonCode.UNKNOWN_PRODUCT: FallbackKind.EXPERT_UNAVAILABLE,
        ReasonCode.CLASSIFIER_UNAVAILABLE: FallbackKind.LATE,
        ReasonCode.MISSED_TRIGGER: FallbackKind.NO_DECISION,
    }
    for code, kind in kinds.items():
        assert situation_of(frame(), None, None, failure(code)).fallback is kind
    assert situation_of(frame(), None, None, None).fallback is None


def test_of_several_shots_each_has_a_verdict_and_no_golden_check() -> None:
    shot = frame(shot=2, shots_expected=3, part_frame_id=frame().frame_id, part_id="golden")
    assert decide(shot, POLICY, DecisionSource.EXPERT, NOW).golden is None
    whole = decide(frame(part_id="golden"), POLICY, DecisionSource.EXPERT, NOW)
    assert whole.golden is not None


def test_a_policy_that_raises_holds_the_part() -> None:
    class Broken(TwinPolicy):
        def decide(self, situation: Situation) -> Outcome:
            raise ZeroDivisionError("by zero")

    found = decide(frame(), Broken("tile"), DecisionSource.EXPERT, NOW)
    assert (found.action, found.rule) == (Action.HOLD, "fallback:policy_error")
    assert found.reason.endswith("ZeroDivisionError: by zero")
