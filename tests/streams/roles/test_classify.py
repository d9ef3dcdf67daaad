"""The classify role over twins."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from streams.codes import Action, DecisionSource, ReasonCode
from streams.events import Anomaly, DeadLetter, Decision
from streams.roles.classify import ClassifyRole
from streams.topics import DEAD, DECISIONS
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.contracts.twins.policies import TwinPolicies
from tests.streams.conftest import Bench
from tests.streams.made import ODD, delivery, frame, inspection
from tests.waiting import until

MakeBench = Callable[..., Bench]


def role_over(bench: Bench, classifier: TwinClassifier, **more: Any) -> ClassifyRole:
    policies = TwinPolicies()
    return ClassifyRole(classifier, policies, bench.results, **more)


def anomaly(window_ms: int = 1000, classify: bool = True, **changes: Any) -> Anomaly:
    shot = frame(window_ms=window_ms, **changes)
    timings = {"expert": 12.5}
    return Anomaly(frame=shot, inspection=inspection(True), classify=classify, timings_ms=timings)


def decisions(bench: Bench) -> list[Decision]:
    return [e for e, _ in bench.publisher.of(DECISIONS.name) if isinstance(e, Decision)]


def letters(bench: Bench) -> list[DeadLetter]:
    return [e for e, _ in bench.publisher.of(DEAD.name) if isinstance(e, DeadLetter)]


@pytest.mark.asyncio
async def test_the_policy_decides_on_the_class(bench: MakeBench) -> None:
    b = bench()
    classifier = TwinClassifier()
    await role_over(b, classifier).handle(delivery(anomaly(), ODD))
    (decision,) = decisions(b)
    assert (decision.source, decision.action) == (DecisionSource.CLASSIFIER, Action.SCRAP)
    assert decision.class_name == "crack"
    assert decision.classification is not None
    assert decision.inspection is not None
    assert decision.policy_hash == "policy-1"
    assert decision.timings_ms["expert"] == 12.5
    assert {"queue_classify", "classifier", "classify", "policy"} <= set(decision.timings_ms)
    (request,) = classifier.seen
    assert (request.image, request.texts.policy_hash) == (ODD, "policy-1")


@pytest.mark.asyncio
async def test_a_golden_part_that_is_named_a_defect_was_judged_wrongly(bench: MakeBench) -> None:
    b = bench()
    await role_over(b, TwinClassifier()).handle(delivery(anomaly(part_id="golden"), ODD))
    (decision,) = decisions(b)
    assert decision.golden is not None
    assert not decision.golden.is_right


@pytest.mark.asyncio
async def test_what_is_only_to_be_kept_is_not_classified(bench: MakeBench) -> None:
    b = bench()
    classifier = TwinClassifier()
    await role_over(b, classifier).handle(delivery(anomaly(classify=False), ODD))
    assert not classifier.seen
    assert not b.publisher.sent


@pytest.mark.asyncio
async def test_a_late_answer_is_a_second_decision_that_changes_nothing(bench: MakeBench) -> None:
    b = bench()
    sent = anomaly(window_ms=300)
    role = role_over(b, TwinClassifier(delay_s=0.25))
    await role.handle(delivery(sent, ODD))
    await until(lambda: len(decisions(b)) == 2)
    fallback, late = decisions(b)
    assert (fallback.source, fallback.action) == (DecisionSource.FALLBACK, Action.HOLD)
    assert fallback.reason_code is ReasonCode.LATE
    assert fallback.decided_at <= sent.frame.deadline
    assert not fallback.is_late
    assert (late.source, late.is_late) == (DecisionSource.CLASSIFIER, True)
    assert fallback.result_id != late.result_id
    await role.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("trouble", [{"down": True}, {"hang": True}])
async def test_without_a_classifier_the_fallback_is_in_time(
    bench: MakeBench, trouble: dict[str, bool]
) -> None:
    b = bench()
    sent = anomaly(window_ms=250)
    role = role_over(b, TwinClassifier(**trouble))  # type: ignore[arg-type]
    await role.handle(delivery(sent, ODD))
    await role.close()
    (decision,) = decisions(b)
    assert decision.source is DecisionSource.FALLBACK
    assert decision.decided_at <= sent.frame.deadline
    assert decision.inspection == sent.inspection
    expected = ReasonCode.LATE if "hang" in trouble else ReasonCode.CLASSIFIER_UNAVAILABLE
    assert decision.reason_code is expected
    assert not letters(b), "the anomaly itself keeps the picture"


@pytest.mark.asyncio
async def test_a_malformed_anomaly_is_held_when_its_part_can_be_read(bench: MakeBench) -> None:
    b = bench()
    sound = delivery(anomaly(), ODD)
    headers = [h for h in sound.headers if h[0] != "ce_inspection"]
    await role_over(b, TwinClassifier()).handle(replace(sound, headers=headers))
    assert decisions(b)[0].reason_code is ReasonCode.MALFORMED_EVENT
    assert letters(b)[0].error_type == "MALFORMED_EVENT"
    assert letters(b)[0].frame_id == decisions(b)[0].frame_id


@pytest.mark.asyncio
async def test_a_large_image_comes_from_the_store(bench: MakeBench) -> None:
    b = bench()
    store = InMemoryImageStore()
    await store.put("frames/large", b"40 megapixels", "image/png")
    classifier = TwinClassifier()
    role = role_over(b, classifier, images=store)
    await role.handle(delivery(anomaly(image=b"40 megapixels", dataref="frames/large"), b""))
    assert classifier.seen[0].image == b"40 megapixels"
    assert decisions(b)[0].source is DecisionSource.CLASSIFIER
