"""The inspect role and time: fallbacks, bursts, backlogs and clocks."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streams.codes import Action, DecisionSource, ReasonCode, Stage
from streams.kafka.delivery import letter_id
from streams.roles.clocks import GatewayClocks
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.made import ODD, delivery, frame
from tests.streams.roles.inspecting import MakeBench, anomalies, decisions, letters, role_over
from tests.waiting import until


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
    given = delivery(shot, b"never inspected", offset=5)
    await role.handle(given)
    (decision,) = decisions(b)
    assert decision.source is DecisionSource.FALLBACK
    assert decision.decided_at <= shot.deadline
    ((letter, original),) = letters(b)
    assert letter.error_type == ReasonCode.EXPERT_UNAVAILABLE.name
    assert letter.frame_id == shot.frame_id
    assert letter.letter_id == letter_id(given, Stage.INSPECT)
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
