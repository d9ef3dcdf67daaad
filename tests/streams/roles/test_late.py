"""Answers that come long after the fallback, over twins."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from streams.codes import Action, DecisionSource, ReasonCode
from streams.errors import UnavailableError
from streams.events import Anomaly, Classification, Decision
from streams.ids import decision_id
from streams.ports import Asked, Failure
from streams.roles.classify import ClassifyRole
from streams.roles.classify_core import may_come_late
from streams.roles.late import LatePart, LateParts
from streams.topics import DECISIONS
from tests.contracts.twins.policies import TwinPolicies
from tests.serving.ray.waiting import until
from tests.streams.conftest import Bench
from tests.streams.roles.twins import ODD, TwinClassifier, delivery, frame, inspection

MakeBench = Callable[..., Bench]
NAMED = Classification(
    class_name="crack", confidence=0.8, classifier="velm", cost=0.5, latency_ms=4200
)


def anomaly(window_ms: int = 250) -> Anomaly:
    return Anomaly(frame=frame(window_ms=window_ms), inspection=inspection(True), classify=True)


def asked(sent: Anomaly) -> Asked:
    return Asked(sent.frame.frame_id, "policy-1")


def role_over(bench: Bench, classifier: TwinClassifier, **more: Any) -> ClassifyRole:
    more.setdefault("late", classifier)
    return ClassifyRole(classifier, TwinPolicies(), bench.outbox, bench.metrics, bench.flow, **more)


def decisions(bench: Bench) -> list[Decision]:
    return [e for e, _ in bench.publisher.of(DECISIONS.name) if isinstance(e, Decision)]


def waiting(role: ClassifyRole) -> int:
    assert role._late is not None
    return role._late.waiting


def polling(role: ClassifyRole) -> "asyncio.Task[None] | None":
    assert role._late is not None
    return role._late._task


def test_parts_are_waited_for_in_bounds() -> None:
    parts = LateParts(most=2, age_s=10)
    questions = [Asked(UUID(int=n), "p") for n in range(4)]
    held = [LatePart(anomaly(), float(n)) for n in range(4)]
    for n in range(3):
        parts.remember(questions[n], held[n], now_s=float(n))
    parts.remember(questions[1], held[3], now_s=9.0)
    assert parts.waiting(5.0) == questions[1:3], "the oldest was dropped, none was renewed"
    assert parts.waiting(11.5) == questions[2:3]
    assert parts.take(questions[2]) == held[2]
    assert parts.take(questions[2]) is None


def test_only_where_time_ran_out_an_answer_may_come() -> None:
    gone = ReasonCode.CLASSIFIER_UNAVAILABLE
    assert may_come_late(Failure(ReasonCode.LATE, "late", ""))
    assert may_come_late(Failure(gone, "Timeout", "", retryable=True))
    assert not may_come_late(Failure(gone, "breaker_open", "", retryable=True))
    assert not may_come_late(Failure(ReasonCode.UNDECODABLE_IMAGE, "undecodable", ""))


@pytest.mark.asyncio
async def test_a_late_answer_is_fetched_and_recorded_once(bench: MakeBench) -> None:
    b = bench(late_poll_s=0.01, late_grace_s=0.05)
    classifier = TwinClassifier(hang=True)
    role, sent = role_over(b, classifier), anomaly()
    await role.handle(delivery(sent, ODD))
    (fallback,) = decisions(b)
    assert (fallback.source, fallback.action) == (DecisionSource.FALLBACK, Action.HOLD)
    assert fallback.decided_at <= sent.frame.deadline
    await until(lambda: len(classifier.fetches) > 1)
    classifier.late[asked(sent)] = NAMED
    await until(lambda: len(decisions(b)) > 1)
    _, late = decisions(b)
    assert (late.source, late.is_late) == (DecisionSource.CLASSIFIER, True)
    assert late.result_id == decision_id(sent.frame.frame_id, DecisionSource.CLASSIFIER)
    assert late.classification == NAMED
    assert late.timings_ms["classifier"] == 4200
    assert b.publisher.sent[0][1].key == b.publisher.sent[1][1].key
    task = polling(role)
    assert task is not None
    await until(task.done)
    assert len(decisions(b)) == 2
    await role.close()


@pytest.mark.asyncio
async def test_an_answer_that_came_within_the_grace_is_not_fetched_again(
    bench: MakeBench,
) -> None:
    b = bench(late_poll_s=0.01)
    classifier = TwinClassifier(delay_s=0.2)
    role, sent = role_over(b, classifier), anomaly()
    await role.handle(delivery(sent, ODD))
    assert [d.is_late for d in decisions(b)] == [False, True]
    assert not waiting(role)
    assert not classifier.fetches
    await role.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("trouble", ["in time", "never late", "away"])
async def test_what_needs_no_late_answer_costs_no_fetch(bench: MakeBench, trouble: str) -> None:
    b = bench(late_poll_s=0.01, late_grace_s=0.05)
    classifier = TwinClassifier(
        hang=trouble == "never late", down=trouble == "away", answers_late=False
    )
    role = role_over(b, classifier)
    await role.handle(delivery(anomaly(), ODD))
    if trouble == "never late":
        await until(lambda: not waiting(role))
        assert len(classifier.fetches) == 1, "told once that nothing ever comes, it asks no more"
    else:
        assert not waiting(role)
        assert polling(role) is None
    assert len(decisions(b)) == 1
    await role.close()


@pytest.mark.asyncio
async def test_a_fetch_that_fails_is_repeated(bench: MakeBench) -> None:
    b = bench(late_poll_s=0.01, late_grace_s=0.05)
    classifier = TwinClassifier(hang=True)
    role, sent = role_over(b, classifier), anomaly()
    await role.handle(delivery(sent, ODD))
    classifier.down = True
    classifier.late[asked(sent)] = NAMED
    await until(lambda: b.value("andon_retries_total", what="late_answers") >= 2)
    classifier.down = False
    await until(lambda: len(decisions(b)) == 2)
    await role.close()


@pytest.mark.asyncio
async def test_an_answer_that_could_not_be_published_is_published_later(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench(late_poll_s=0.01, late_grace_s=0.05)
    classifier = TwinClassifier(hang=True)
    role, sent = role_over(b, classifier), anomaly()
    await role.handle(delivery(sent, ODD))
    send, refusals = b.outbox.decision, 0

    async def refusing(decision: Decision) -> None:
        nonlocal refusals
        refusals += 1
        if refusals == 1:
            raise UnavailableError("the broker is away")
        await send(decision)

    monkeypatch.setattr(b.outbox, "decision", refusing)
    classifier.late[asked(sent)] = NAMED
    await until(lambda: len(decisions(b)) == 2)
    assert refusals == 2
    await role.close()


@pytest.mark.asyncio
async def test_what_never_comes_is_forgotten(bench: MakeBench) -> None:
    b = bench(late_poll_s=0.01, late_grace_s=0.05, late_age_s=0.1)
    classifier = TwinClassifier(hang=True)
    role = role_over(b, classifier)
    began = time.monotonic()
    await role.handle(delivery(anomaly(), ODD))
    task = polling(role)
    assert task is not None
    await until(task.done)
    assert time.monotonic() - began < 10
    assert len(decisions(b)) == 1
    assert decisions(b)[0].decided_at <= datetime.now(UTC)
    await role.close()
