"""The inspect role over twins: what it decides, when, and what it keeps."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.codes import Action, DecisionSource, ReasonCode, Stage
from streams.events import Anomaly, DeadLetter, Decision, ShotVerdict, decision_id
from streams.ids import new_frame_id
from streams.kafka.delivery import letter_id
from streams.roles.decisions import GatewayClocks
from streams.roles.inspect import InspectRole
from streams.topics import ANOMALIES, DEAD, DECISIONS, SHOTS
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.conftest import Bench
from tests.streams.made import BROKEN, ODD, delivery, frame
from tests.waiting import until

MakeBench = Callable[..., Bench]


def role_over(bench: Bench, expert: TwinExpert, **changes: Any) -> InspectRole:
    policies = TwinPolicies(audit_share=changes.pop("audit_share", 0.0))
    return InspectRole(expert, policies, bench.results, **changes)


def decisions(bench: Bench) -> list[Decision]:
    return [e for e, _ in bench.publisher.of(DECISIONS.name) if isinstance(e, Decision)]


def anomalies(bench: Bench) -> list[tuple[Anomaly, bytes]]:
    return [(e, v) for e, v in bench.publisher.of(ANOMALIES.name) if isinstance(e, Anomaly)]


def letters(bench: Bench) -> list[tuple[DeadLetter, bytes]]:
    return [(e, v) for e, v in bench.publisher.of(DEAD.name) if isinstance(e, DeadLetter)]


@pytest.mark.asyncio
async def test_a_normal_frame_is_decided_by_the_expert(bench: MakeBench) -> None:
    b = bench()
    shot = frame()
    await role_over(b, TwinExpert()).handle(delivery(shot, b"picture"))
    (decision,) = decisions(b)
    assert (decision.source, decision.action) == (DecisionSource.EXPERT, Action.PASS)
    assert decision.frame_id == shot.frame_id
    assert decision.inspection is not None
    assert not decision.is_late
    assert {"inspect", "queue_inspect", "expert", "policy"} <= set(decision.timings_ms)
    assert not anomalies(b)
    assert not letters(b)
    labels = {"source": "expert", "action": "pass", "reason": "NORMAL"}
    place = {"line": shot.line, "product": shot.product_id}
    assert b.value("andon_decisions_total", **place, **labels) == 1


@pytest.mark.asyncio
async def test_a_golden_part_is_checked_when_the_expert_or_a_fallback_decides_it(
    bench: MakeBench,
) -> None:
    b = bench()
    await role_over(b, TwinExpert()).handle(delivery(frame(part_id="golden"), b"picture"))
    await role_over(b, TwinExpert(down=True)).handle(delivery(frame(part_id="golden"), b"picture"))
    await role_over(b, TwinExpert()).handle(delivery(frame(), b"picture"))
    checks = [decision.golden for decision in decisions(b)]
    assert [check and check.is_right for check in checks] == [True, False, None]


@pytest.mark.asyncio
async def test_an_anomalous_frame_goes_to_classification_with_its_picture(
    bench: MakeBench,
) -> None:
    b = bench()
    await role_over(b, TwinExpert()).handle(delivery(frame(), ODD + b"1"))
    ((anomaly, image),) = anomalies(b)
    assert anomaly.classify
    assert anomaly.reason == "anomalous"
    assert anomaly.inspection.region is not None
    assert image == ODD + b"1"
    assert not decisions(b)


@pytest.mark.asyncio
@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (1.0, 1)])
async def test_the_audit_keeps_normal_pictures(bench: MakeBench, share: float, kept: int) -> None:
    b = bench()
    await role_over(b, TwinExpert(), audit_share=share).handle(delivery(frame(), b"good"))
    assert [(a.classify, a.reason) for a, _ in anomalies(b)] == [(False, "audit")] * kept
    assert decisions(b)[0].source is DecisionSource.EXPERT


@pytest.mark.asyncio
async def test_a_slow_expert_gets_a_fallback_in_time_and_its_answer_is_kept(
    bench: MakeBench,
) -> None:
    b = bench()
    shot = frame(window_ms=300)
    await role_over(b, TwinExpert(delay_s=0.4)).handle(delivery(shot, ODD))
    (decision,) = decisions(b)
    assert (decision.source, decision.action) == (DecisionSource.FALLBACK, Action.HOLD)
    assert decision.reason_code is ReasonCode.LATE
    assert decision.decided_at <= shot.deadline
    assert not decision.is_late
    ((anomaly, image),) = anomalies(b)
    assert (anomaly.classify, anomaly.reason, image) == (False, "decided", ODD)
    assert not letters(b)


@pytest.mark.asyncio
@pytest.mark.parametrize("trouble", [{"down": True}, {"raises": True}, {"hang": True}])
async def test_without_an_expert_the_fallback_is_in_time_and_the_picture_is_kept(
    bench: MakeBench, trouble: dict[str, bool]
) -> None:
    b = bench()
    shot = frame(window_ms=250)
    role = role_over(b, TwinExpert(**trouble))  # type: ignore[arg-type]
    await role.handle(delivery(shot, b"never inspected", offset=5))
    (decision,) = decisions(b)
    assert decision.source is DecisionSource.FALLBACK
    assert decision.decided_at <= shot.deadline
    ((letter, original),) = letters(b)
    assert letter.error_type == ReasonCode.EXPERT_UNAVAILABLE.name
    assert letter.frame_id == shot.frame_id
    assert letter.letter_id == letter_id("andon.frames", 0, 5, Stage.INSPECT)
    assert original == b"never inspected"
    assert not anomalies(b)


@pytest.mark.asyncio
async def test_an_expert_that_comes_back_inside_the_deadline_decides(bench: MakeBench) -> None:
    b = bench()
    expert = TwinExpert(down=True)
    asyncio.get_running_loop().call_later(0.1, setattr, expert, "down", False)
    await role_over(b, expert).handle(delivery(frame(), b"good"))
    assert [d.source for d in decisions(b)] == [DecisionSource.EXPERT]
    assert not letters(b)


@pytest.mark.asyncio
async def test_an_undecodable_image_is_held_and_named(bench: MakeBench) -> None:
    b = bench()
    await role_over(b, TwinExpert()).handle(delivery(frame(), BROKEN))
    (decision,) = decisions(b)
    assert (decision.source, decision.action) == (DecisionSource.FALLBACK, Action.HOLD)
    assert decision.reason_code is ReasonCode.UNDECODABLE_IMAGE
    ((letter, original),) = letters(b)
    assert letter.error_type == "UNDECODABLE_IMAGE"
    assert original == BROKEN


@pytest.mark.asyncio
@pytest.mark.parametrize("missing", ["ce_deadline", "ce_type", "ce_frameid", "ce_capturedat"])
async def test_a_malformed_event_is_held_when_the_part_can_be_read(
    bench: MakeBench, missing: str
) -> None:
    b = bench()
    sound = delivery(frame(part_id="'; DROP TABLE part;\n🦀"), b"bytes", offset=9)
    broken = replace(sound, headers=[h for h in sound.headers if h[0] != missing])
    role = role_over(b, TwinExpert())
    await role.handle(broken)
    await role.handle(broken)
    first, again = decisions(b)
    assert first.reason_code is ReasonCode.MALFORMED_EVENT
    assert first.action is Action.HOLD
    assert (first.line, first.trigger_seq, first.product_id) == ("line-1", 7, "tile")
    assert first.result_id == again.result_id
    assert letters(b)[0][0].error_type == "MALFORMED_EVENT"
    assert letters(b)[0][0].letter_id == letters(b)[1][0].letter_id


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers", [[], [("ce_type", b"\xff")], [("ce_line", b"l"), ("ce_station", b"s")]]
)
async def test_what_names_no_part_is_a_dead_letter_only(
    bench: MakeBench, headers: list[tuple[str, bytes]]
) -> None:
    b = bench()
    await role_over(b, TwinExpert()).handle(replace(delivery(frame(), b"x"), headers=headers))
    assert not decisions(b)
    assert letters(b)[0][1] == b"x"


@pytest.mark.asyncio
async def test_a_future_schema_version_is_a_fallback_and_a_dead_letter(bench: MakeBench) -> None:
    b = bench()
    sound = delivery(frame(), b"x")
    headers = [*(h for h in sound.headers if h[0] != "ce_type"), ("ce_type", b"andon.frame.v9")]
    await role_over(b, TwinExpert()).handle(replace(sound, headers=headers))
    assert decisions(b)[0].reason_code is ReasonCode.MALFORMED_EVENT
    assert "andon.frame.v9" in letters(b)[0][0].error


@pytest.mark.asyncio
async def test_what_nobody_foresaw_is_a_fallback_and_a_dead_letter(bench: MakeBench) -> None:
    b = bench()
    defect = ZeroDivisionError("a defect of ours")
    await role_over(b, TwinExpert()).failed(delivery(frame(), b"bytes"), defect)
    assert decisions(b)[0].reason_code is ReasonCode.NO_DECISION
    assert "ZeroDivisionError" in letters(b)[0][0].error


@pytest.mark.asyncio
async def test_a_large_image_comes_from_the_store(bench: MakeBench) -> None:
    b = bench()
    store = InMemoryImageStore()
    await store.put("frames/large", ODD + b"large", "image/png")
    role = role_over(b, TwinExpert(), images=store)
    await role.handle(delivery(frame(ODD + b"large", dataref="frames/large"), b""))
    ((anomaly, value),) = anomalies(b)
    assert anomaly.frame.dataref == "frames/large"
    assert value == b""


@pytest.mark.asyncio
async def test_a_large_image_that_is_gone_is_held_and_named(bench: MakeBench) -> None:
    b = bench()
    role = role_over(b, TwinExpert(), images=InMemoryImageStore())
    await role.handle(delivery(frame(dataref="frames/gone"), b""))
    assert decisions(b)[0].source is DecisionSource.FALLBACK
    assert "frames/gone" in letters(b)[0][0].error


@pytest.mark.asyncio
async def test_a_broker_that_is_away_is_waited_for(bench: MakeBench) -> None:
    b = bench()
    b.publisher.down_for = 3
    await role_over(b, TwinExpert()).handle(delivery(frame(), b"good"))
    assert len(decisions(b)) == 1
    assert b.value("andon_retries_total", what="publish") == 3


@pytest.mark.asyncio
async def test_a_burst_makes_no_decision_late(bench: MakeBench) -> None:
    """200 frames at once, an expert that manages a fraction of them inside their window."""
    b = bench(concurrency=16, batch=8, late_grace_s=0.5, margin_s=1.5)  # a busy machine stalls
    role = role_over(b, TwinExpert(delay_s=0.5))
    shots = [frame(window_ms=3000, trigger_seq=i + 1) for i in range(200)]
    await asyncio.gather(*(role.handle(delivery(s, b"good", i)) for i, s in enumerate(shots)))
    decided = {d.frame_id: d for d in decisions(b)}
    assert len(decided) == len(shots)
    assert [d for d in decided.values() if d.decided_at > d.deadline] == []
    sources = {d.source for d in decided.values()}
    assert sources == {DecisionSource.EXPERT, DecisionSource.FALLBACK}
    kept = {a.frame.frame_id for a, _ in anomalies(b)} | {x.frame_id for x, _ in letters(b)}
    fallen = {f for f, d in decided.items() if d.source is DecisionSource.FALLBACK}
    assert fallen <= kept
    await role.close()


@pytest.mark.asyncio
async def test_an_expired_frame_is_decided_though_every_slot_hangs(bench: MakeBench) -> None:
    b = bench(concurrency=8, batch=8, late_grace_s=0.1)
    role = role_over(b, TwinExpert(hang=True))
    busy = [
        asyncio.create_task(role.handle(delivery(frame(window_ms=60_000), b"x", i)))
        for i in range(64)
    ]
    past = datetime.now(UTC) - timedelta(seconds=5)
    late = frame(captured_at=past, deadline=past + timedelta(seconds=1))
    task = asyncio.create_task(role.handle(delivery(late, b"x", 99)))
    await until(lambda: bool(decisions(b)), what="a decision, while every slot hangs")
    (decision,) = decisions(b)
    assert decision.frame_id == late.frame_id
    assert decision.is_late
    for running in [task, *busy]:
        running.cancel()
    await asyncio.gather(task, *busy, return_exceptions=True)
    await role.close()


@pytest.mark.asyncio
async def test_overload_gives_up_decided_frames_before_it_grows(bench: MakeBench) -> None:
    size = 100_000
    b = bench(concurrency=8, batch=8, in_flight_bytes=10 * size, late_grace_s=5.0)
    role = role_over(b, TwinExpert(hang=True))
    shots = [delivery(frame(window_ms=200), bytes(size), i) for i in range(30)]
    tasks = [asyncio.create_task(role.handle(shot)) for shot in shots]

    def given_up() -> int:
        return len([x for x, _ in letters(b) if "Overloaded" in x.error])

    await until(lambda: given_up() >= 10, what="ten frames are given up")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await role.close()


@pytest.mark.asyncio
async def test_one_of_several_shots_gets_a_verdict_and_no_decision(bench: MakeBench) -> None:
    b = bench()
    part = new_frame_id()
    shot = frame(shot=2, shots_expected=3, shot_name="left", part_frame_id=part)
    await role_over(b, TwinExpert()).handle(delivery(shot, b"picture"))
    ((verdict, _),) = b.publisher.of(SHOTS.name)
    assert isinstance(verdict, ShotVerdict)
    assert (verdict.part_frame_id, verdict.shot, verdict.shot_name) == (part, 2, "left")
    assert verdict.frame_id == shot.frame_id
    assert verdict.result_id == decision_id(shot.frame_id, DecisionSource.EXPERT, of_shot=True)
    assert not decisions(b)
    assert b.value("andon_shots_total", source="expert", action="pass") == 1


@pytest.mark.asyncio
async def test_the_audit_takes_all_shots_of_a_part_or_none(bench: MakeBench) -> None:
    b = bench()
    role = role_over(b, TwinExpert(), audit_share=0.5)
    for part in (new_frame_id() for _ in range(12)):
        for number in (1, 2, 3):
            shot = frame(shot=number, shots_expected=3, part_frame_id=part)
            await role.handle(delivery(shot, b"picture"))
    kept = Counter(anomaly.frame.part_frame_id for anomaly, _ in anomalies(b))
    assert 0 < len(kept) < 12
    assert set(kept.values()) == {3}


@pytest.mark.parametrize("broken", ["ce_shot", "ce_partframeid", "ce_shotsexpected"])
@pytest.mark.asyncio
async def test_a_shot_of_an_unreadable_place_decides_nothing(bench: MakeBench, broken: str) -> None:
    b = bench()
    shot = frame(shot=2, shots_expected=3, part_frame_id=new_frame_id())
    message = delivery(shot, b"picture")
    headers = [(k, b"?" if k == broken else v) for k, v in message.headers]
    await role_over(b, TwinExpert()).handle(replace(message, headers=tuple(headers)))
    assert len(letters(b)) == 1
    assert not decisions(b)
    assert not b.publisher.of(SHOTS.name)


@pytest.mark.asyncio
async def test_a_part_that_came_too_late_says_what_the_causes_may_be(bench: MakeBench) -> None:
    b = bench()
    old = datetime.now(UTC) - timedelta(hours=1)
    shot = frame(captured_at=old, deadline=old + timedelta(seconds=1))
    b.results.clocks.log_ended(time.monotonic(), {("andon.frames", 0): 7})
    b.results.heard(frame(), time.time(), delivery(frame(), b"picture", offset=7))
    await role_over(b, TwinExpert()).handle(delivery(shot, b"picture"))
    reason = decisions(b)[0].reason
    assert "its time had been over for 3599." in reason
    assert "(a backlog, or clock skew)" in reason
    assert decisions(b)[0].is_late


@pytest.mark.asyncio
async def test_of_a_backlog_that_only_our_clock_calls_late_the_newest_parts_are_judged(
    bench: MakeBench,
) -> None:
    """Nothing new came from the gateway yet: this host's clock may as well be an hour ahead."""
    b = bench()
    b.results.clocks = GatewayClocks(wall=lambda: time.time() + 3600)
    role, began = role_over(b, TwinExpert()), datetime.now(UTC) - timedelta(seconds=9.7)
    ages = [timedelta(seconds=n) for n in range(10)]
    parts = [
        frame(captured_at=began + age, deadline=began + age + timedelta(seconds=1)) for age in ages
    ]
    sent = [replace(delivery(p, b"picture"), produced_s=p.captured_at.timestamp()) for p in parts]
    await asyncio.gather(*(role.handle(one) for one in sent))
    made = {one.frame_id: one for one in decisions(b)}
    *older, newest = (made[part.frame_id] for part in parts)
    assert all(one.is_late and one.source is DecisionSource.FALLBACK for one in older)
    assert (newest.source, newest.is_late) == (DecisionSource.EXPERT, False)
    assert newest.decided_at > newest.deadline, "by our clock, which nobody has refuted yet"


@pytest.mark.asyncio
async def test_a_late_part_names_a_clock_that_is_known_to_be_off(bench: MakeBench) -> None:
    """This host's clock is a day behind: the frame comes from the future, and its expert hangs."""
    b = bench()
    b.results.clocks = GatewayClocks(wall=lambda: time.time() - 86_400)
    await role_over(b, TwinExpert(hang=True)).handle(delivery(frame(window_ms=250), b"picture"))
    (decision,) = decisions(b)
    assert "clock skew: this host's clock is 86400.0 s behind the gateway's" in decision.reason
    assert decision.clock_ahead_s == pytest.approx(-86_400, abs=1)
    assert not decision.is_late
    assert b.value("andon_clock_skew_seconds", station="line-1/cam-1") == pytest.approx(
        -86_400, abs=1
    )
    assert b.logged.count("clock skew") == 1
