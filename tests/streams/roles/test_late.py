"""Answers after the fallback: a second decision, within bounds, and nothing twice."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from streams.codes import Action, DecisionSource
from streams.events import Anomaly, Classification, Decision, decision_id
from streams.ports import ClassificationRequest, Failure
from streams.roles.classify import ClassifyRole
from streams.topics import DECISIONS
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.contracts.twins.policies import TwinPolicies
from tests.streams.conftest import Bench
from tests.streams.made import ODD, delivery, frame, inspection
from tests.waiting import until

MakeBench = Callable[..., Bench]
NAMED = Classification(class_name="crack", confidence=0.8, classifier="velm", cost=0.5)


@dataclass
class HeldClassifier:
    """Answers once it is told to."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[ClassificationRequest] = field(default_factory=list)
    cut: int = 0
    """Calls that were cancelled."""

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        self.seen += requests
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        return [NAMED] * len(requests)


def anomaly(window_ms: int = 250) -> Anomaly:
    return Anomaly(frame=frame(window_ms=window_ms), inspection=inspection(True), classify=True)


def role_over(bench: Bench, classifier: TwinClassifier | HeldClassifier) -> ClassifyRole:
    return ClassifyRole(classifier, TwinPolicies(), bench.results)


def decisions(bench: Bench) -> list[Decision]:
    return [e for e, _ in bench.publisher.of(DECISIONS.name) if isinstance(e, Decision)]


@pytest.mark.asyncio
async def test_a_late_answer_is_recorded_once_and_its_part_asked_for_once(bench: MakeBench) -> None:
    b, classifier, sent = bench(late_grace_s=0.05), HeldClassifier(), anomaly()
    role = role_over(b, classifier)
    await role.handle(delivery(sent, ODD))
    (fallback,) = decisions(b)
    assert (fallback.source, fallback.action) == (DecisionSource.FALLBACK, Action.HOLD)
    assert fallback.decided_at <= sent.frame.deadline
    await role.handle(delivery(sent, ODD))
    assert len(decisions(b)) == 1, "delivered again while its answer is waited for"
    classifier.release.set()
    await until(lambda: len(decisions(b)) > 1)
    late = decisions(b)[1]
    assert (late.source, late.is_late) == (DecisionSource.CLASSIFIER, True)
    assert late.result_id == decision_id(sent.frame.frame_id, DecisionSource.CLASSIFIER)
    assert late.classification == NAMED
    assert late.timings_ms["classifier"] >= 50
    assert b.publisher.sent[0][1].key == b.publisher.sent[1][1].key
    assert len(classifier.seen) == 1
    await role.handle(delivery(sent, ODD))
    assert len({d.result_id for d in decisions(b)}) == 2, "delivered again later: no new identity"
    await role.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("bound", [{"late_parts": 2}, {"in_flight_bytes": 2 * 2 * len(ODD)}])
async def test_late_calls_keep_no_others_waiting_and_the_oldest_are_given_up(
    bench: MakeBench, bound: dict[str, int]
) -> None:
    """Each holds its place for a second at most; beyond the bound the oldest is cut."""
    b, classifier = bench(concurrency=1, **bound), HeldClassifier()
    role = role_over(b, classifier)
    parts = [anomaly() for _ in range(4)]
    for count, part in enumerate(parts, start=1):
        await role.handle(delivery(part, ODD))
        await until(lambda count=count: len(classifier.seen) == count)  # type: ignore[misc]
    await until(lambda: classifier.cut == 2)
    classifier.release.set()
    await until(lambda: len(decisions(b)) == 6)
    late = {d.frame_id for d in decisions(b) if d.is_late}
    assert late == {part.frame.frame_id for part in parts[2:]}
    await role.close()


@pytest.mark.asyncio
async def test_what_never_comes_is_given_up(bench: MakeBench) -> None:
    b, classifier = bench(late_grace_s=0.05, late_age_s=1.2), HeldClassifier()
    role = role_over(b, classifier)
    await role.handle(delivery(anomaly(), ODD))
    await until(lambda: classifier.cut == 1)
    await until(lambda: not role._late)
    assert len(decisions(b)) == 1
    await role.close()


@pytest.mark.asyncio
async def test_a_classifier_that_is_away_is_asked_for_a_while_after_the_fallback(
    bench: MakeBench,
) -> None:
    b, classifier = bench(late_grace_s=5.0), TwinClassifier(down=True)
    role = role_over(b, classifier)
    await role.handle(delivery(anomaly(), ODD))
    (fallback,) = decisions(b)
    assert fallback.source is DecisionSource.FALLBACK
    classifier.down = False
    await until(lambda: [d.is_late for d in decisions(b)] == [False, True])
    await role.close()


@pytest.mark.asyncio
async def test_an_answer_waits_for_the_broker(bench: MakeBench) -> None:
    b, classifier = bench(), HeldClassifier()
    role = role_over(b, classifier)
    await role.handle(delivery(anomaly(), ODD))
    b.publisher.down_for = 3
    classifier.release.set()
    await until(lambda: len(decisions(b)) == 2)
    assert b.value("andon_retries_total", what="publish") == 3
    await role.close()


@pytest.mark.asyncio
async def test_closing_ends_the_wait(bench: MakeBench) -> None:
    b, classifier = bench(), HeldClassifier()
    role = role_over(b, classifier)
    await role.handle(delivery(anomaly(), ODD))
    await role.close()
    assert classifier.cut == 1
    assert len(decisions(b)) == 1
