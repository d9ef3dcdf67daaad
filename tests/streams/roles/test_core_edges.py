"""Join and limits at their edges: the moment itself, the last place, the number after it."""

from datetime import UTC, datetime, timedelta

import pytest

from streams.codes import Action, Severity
from streams.events import GoldenCheck, ShotVerdict
from streams.ids import new_frame_id
from streams.roles.config import JoinConfig, LimitsConfig
from streams.roles.decisions import Moment
from streams.roles.join_core import JoinState, Judged, Tick, joined, step
from streams.roles.limits_core import PartMemory, count, golden_alerts
from tests.contracts.twins.policies import TwinPolicy
from tests.streams import made
from tests.streams.roles.limits_policy import one_policy
from tests.streams.roles.limits_policy import parts as counted_parts

NOW_S = 1_800_000_000.0
NOW = datetime.fromtimestamp(NOW_S, tz=UTC)
CONFIG = JoinConfig()


def shot(number: int, deadline_s: float = 1.0, **changes: object):
    fields = {
        "captured_at": NOW,
        "decided_at": NOW,
        "deadline": NOW + timedelta(seconds=deadline_s),
    }
    return made.verdict(number, 2, **{**fields, **changes})


def judged(verdict: ShotVerdict, now_s: float) -> Judged:
    return Judged(verdict, now_s, verdict.deadline.timestamp())


def due(deadline_s: float) -> float:
    state, _ = step(JoinState(), judged(shot(1, deadline_s), NOW_S), CONFIG)
    (part,) = state.open.values()
    return part.due_s - NOW_S


def test_a_window_that_ends_now_is_over() -> None:
    assert due(0.0) == pytest.approx(CONFIG.backlog_wait_s)
    assert due(-5.0) == pytest.approx(CONFIG.backlog_wait_s)
    assert due(1.0) == pytest.approx(1.0 - CONFIG.margin_s)
    assert due(CONFIG.margin_s / 2) == pytest.approx(CONFIG.least_wait_s)


def test_a_decided_part_is_remembered_until_its_moment() -> None:
    first, second = (shot(n, part_frame_id=new_frame_id()) for n in (1, 1))
    state, _ = step(JoinState(), judged(first, NOW_S), CONFIG)
    state, (complete,) = step(state, Tick(NOW_S + 5), CONFIG)
    assert complete.part == first.part_identity
    until = NOW_S + 5 + CONFIG.remember_s
    assert state.decided == {first.part_identity: until}
    for moment, remembered in ((until - 0.001, True), (until, False)):
        later, _ = step(state, judged(second, moment), CONFIG)
        later, _ = step(later, Tick(moment), CONFIG)
        later, _ = step(later, Tick(moment + CONFIG.backlog_wait_s), CONFIG)
        if remembered:
            continue
        assert first.part_identity not in later.decided
    stays, _ = step(state, judged(second, until - 1e6), CONFIG)
    assert first.part_identity in stays.decided


def test_a_part_is_forgotten_at_the_moment_that_it_was_remembered_until() -> None:
    part, other = new_frame_id(), shot(1, part_frame_id=new_frame_id())
    known = JoinState({}, {part: NOW_S + 10})
    state, _ = step(known, judged(other, NOW_S), CONFIG)
    at, complete = step(state, Tick(NOW_S + 10), CONFIG)
    assert complete
    assert part not in at.decided
    before, complete = step(state, Tick(NOW_S + 9.999), CONFIG)
    assert complete
    assert part in before.decided


def test_a_joined_decision_says_how_long_it_waited_and_whether_it_is_late() -> None:
    verdicts = [shot(1), shot(2, decided_at=NOW + timedelta(seconds=0.5))]
    at_deadline = joined(verdicts, TwinPolicy("tile"), Moment(NOW_S + 1.0))
    assert not at_deadline.is_late
    assert at_deadline.timings_ms["join"] == pytest.approx(1000.0)
    assert joined(verdicts, TwinPolicy("tile"), Moment(NOW_S + 1.001)).is_late
    ahead = joined(verdicts, TwinPolicy("tile"), Moment(NOW_S - 3.0))
    assert ahead.timings_ms["join"] == 0.0


def test_the_shots_of_a_joined_decision_are_as_many_as_were_expected() -> None:
    found = joined([shot(1), None], TwinPolicy("tile"), Moment(NOW_S))
    assert [(s.shot, s.frame_id is None) for s in found.shots] == [(1, False), (2, True)]


# --- Limits -------------------------------------------------------------------------------------


def memory(parts: int, capacity: int = 32) -> PartMemory:
    held, config = PartMemory(capacity), LimitsConfig(remembered_parts=capacity)
    for one in counted_parts("." * parts, decided_at=NOW):
        count(held, one, one_policy().for_product(one.product_id), config, NOW)
    return held


def test_a_memory_holds_its_capacity_and_no_part_more() -> None:
    held = memory(33)
    assert len(held) == 32
    again = PartMemory(32, held.last(32))
    assert (len(again), again.number) == (32, 33)
    fewer = PartMemory(5, held.last(32))
    assert [part.number for part in fewer.last(99)] == [29, 30, 31, 32, 33]
    assert [part.number for part in held.last(2)] == [32, 33]
    assert held.last(0) == held.last(-1) == ()


def test_a_policy_is_shown_one_part_less_than_its_window() -> None:
    seen: list[int] = []

    class Watching(TwinPolicy):
        def observe(self, decision, before, exceeded):
            seen.append(len(before))
            return super().observe(decision, before, exceeded)

    held, config = PartMemory(32), LimitsConfig(remembered_parts=32)
    for one in counted_parts("....", decided_at=NOW):
        count(held, one, Watching(one.product_id, window_parts=3), config, NOW)
    assert seen == [0, 1, 2, 2]


def test_a_golden_part_says_what_was_found_where_no_class_was() -> None:
    (one,) = counted_parts("x", decided_at=NOW)
    wrong = GoldenCheck(actions=(Action.PASS,), is_right=False)
    unnamed = one.model_copy(update={"class_name": "", "severity": Severity.DEFECT})
    (alert,) = golden_alerts(unnamed, wrong)
    assert "scrap as defect (-)" in alert.reason
    (alert,) = golden_alerts(one.model_copy(update={"class_name": "crack"}), wrong)
    assert "(crack)" in alert.reason
    assert golden_alerts(one, GoldenCheck(actions=(Action.SCRAP,), is_right=True)) == ()


def test_the_watch_of_a_station_is_always_among_what_is_remembered() -> None:
    held, config = PartMemory(32), LimitsConfig(remembered_parts=32)
    for one in counted_parts("." * 100, decided_at=NOW):
        policy = one_policy({"many": {"more_than": 3, "in_parts": 20}}).for_product(one.product_id)
        count(held, one, policy, config, NOW)
        assert any(entry.drift is not None for entry in held.last(32))
