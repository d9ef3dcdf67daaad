"""Drift: nothing is taken for nothing, a change is found, named and dated, and restarts redo it."""

import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from statistics import mean
from uuid import UUID

import pytest

from streams.codes import Action, Severity
from streams.events import Alert, Classification, CountedPart, Decision, ShotSummary
from streams.roles.config import LimitsConfig
from streams.roles.drift.martingale import Side, smoothed_rank
from streams.roles.drift.moments import Moments
from streams.roles.drift.quantities import QUANTITIES, watched_values
from streams.roles.drift.watching import (
    DriftAlarm,
    StationWatch,
    WatchedPart,
    packed,
    unpacked,
    watch,
)
from streams.roles.limits_core import PartMemory, count, restored
from tests.streams.made import inspection
from tests.streams.roles.limits_policy import decision, one_policy

START = datetime(2026, 5, 1, 6, tzinfo=UTC)
Values = Callable[[random.Random], Mapping[str, float]]


def usual(rng: random.Random) -> dict[str, float]:
    return {
        "normality": rng.random(),
        "sent": float(rng.random() < 0.05),
        "brightness": rng.gauss(0.5, 0.03),
        "contrast": rng.lognormvariate(-1.2, 0.1),
        "sharpness": rng.lognormvariate(-0.5, 0.02),
    }


def lighter(rng: random.Random) -> dict[str, float]:
    return usual(rng) | {"brightness": rng.gauss(0.56, 0.03)}


def blurred(rng: random.Random) -> dict[str, float]:
    changed = {"sharpness": rng.lognormvariate(-0.8, 0.02), "normality": rng.random() / 20}
    return usual(rng) | changed


def odder(rng: random.Random) -> dict[str, float]:
    return usual(rng) | {"normality": rng.random() ** 3}


class Station:
    """Plays parts, one a second."""

    def __init__(self, seed: int = 0, alpha: float = 0.01) -> None:
        self.rng, self.alpha = random.Random(seed), alpha
        self.state, self.number = StationWatch(), 0
        self.alarms: list[tuple[int, DriftAlarm]] = []

    def play(self, parts: int, values: Values = usual, version: str = "v1") -> "Station":
        for _ in range(parts):
            self.number += 1
            seen = WatchedPart(
                UUID(int=self.rng.getrandbits(128), version=4),
                START + timedelta(seconds=self.number),
                version,
                values(self.rng),
            )
            self.state, raised = watch(self.state, seen, self.alpha)
            self.alarms += [(self.number, alarm) for alarm in raised]
        return self


def test_a_bet_is_fair() -> None:
    """The wealth after one more uniform rank is on average what it was: a martingale."""
    side = Side()
    for rank in (0.3, 0.01, 0.05, 0.9, 0.002):
        after = mean(side.bet((i + 0.5) / 10_000).wealth for i in range(10_000))
        assert after == pytest.approx(side.wealth, rel=1e-3)
        side = side.bet(rank)


def test_ranks_among_ties_are_uniform() -> None:
    rng, counts, ranks = random.Random(1), dict[int, float](), []
    for _ in range(4000):
        number = rng.choice([1, 1, 1, 2, 7])
        ranks.append(smoothed_rank(counts, number, rng.random()))
        counts[number] = counts.get(number, 0) + 1
    deciles = [sum(rank < (i + 1) / 10 for rank in ranks) / 4000 for i in range(10)]
    assert all(abs(share - (i + 1) / 10) < 0.03 for i, share in enumerate(deciles))


def test_where_nothing_changes_nothing_alarms() -> None:
    assert [Station(seed).play(3000).alarms for seed in range(4)] == [[]] * 4


def test_a_change_of_light_is_found_dated_and_named() -> None:
    station = Station().play(800).play(80, lighter)
    ((number, alarm),) = station.alarms
    assert alarm.quantity.name == "brightness"
    assert alarm.direction == "rises"
    assert alarm.moved == ("light",)
    assert number < 860
    assert abs((alarm.began_at - START).total_seconds() - 801) < 25
    assert 1 < alarm.shifts[0].deviations < 2.5


def test_one_change_alarms_once_and_the_way_back_again() -> None:
    station = Station(3).play(600).play(400, lighter)
    assert len(station.alarms) == 1
    directions = [alarm.direction for _, alarm in station.play(200).alarms]
    assert directions == ["rises", "falls"]


def test_blur_is_focus_and_odd_parts_under_the_same_light_are_look() -> None:
    first = {a.quantity.name: a for _, a in Station().play(500).play(100, blurred).alarms}
    assert first["sharpness"].moved == first["normality"].moved == ("focus",)
    ((_, alarm),) = Station(5).play(500).play(120, odder).alarms
    assert (alarm.quantity.name, alarm.moved) == ("normality", ("look",))


def test_parts_odder_than_the_artifact_promises_are_found_from_the_first() -> None:
    ((number, alarm),) = Station().play(60, odder).alarms
    assert (alarm.quantity.name, alarm.moved) == ("normality", ())
    assert number < 60


def test_a_new_version_of_the_expert_begins_anew() -> None:
    station = Station().play(300).play(10, lighter).play(200, lighter, "v2")
    assert station.alarms == []


def test_the_state_comes_back_from_json() -> None:
    state = Station().play(50).play(5, odder).state
    assert unpacked(packed(state)) == state
    with pytest.raises(ValueError, match="quantities"):
        unpacked({"quantities": 3})


def test_pictures_without_statistics_say_nothing_of_what_moved() -> None:
    assert Moments().plus({"brightness": 0.5}) == Moments()


def test_a_defect_says_nothing_of_normal_parts() -> None:
    odd = decision(severity=Severity.DEFECT)
    assert watched_values(odd) == {"sent": 1.0}
    unsure = decision(
        severity=Severity.UNKNOWN,
        classification=Classification(class_name="crack", confidence=0.4, classifier="twin"),
    )
    told = watched_values(unsure)
    assert told == {"sent": 1.0, "normality": 0.001, "unknown": 0.0, "confidence": 0.4}
    assert watched_values(decision(inspection=None)) == {}
    assert set(told) <= {quantity.name for quantity in QUANTITIES}


def made_parts(seed: int) -> list[Decision]:
    """150 usual parts and 60 under a blurred camera, of two stations."""
    rng, found = random.Random(seed), []
    for number in range(210):
        values = (usual if number < 150 else blurred)(rng)
        seen = inspection(bool(values["sent"])).model_copy(
            update={
                "p_value": values["normality"],
                "region": None,
                **{k: values[k] for k in ("brightness", "contrast", "sharpness")},
            }
        )
        found.append(
            decision(
                Action.PASS,
                frame_id=UUID(int=rng.getrandbits(128), version=4),
                station=f"cam-{number % 3 == 0:d}",
                severity=Severity.NORMAL,
                inspection=seen,
                decided_at=START + timedelta(seconds=number),
            )
        )
    return found


def counted(decisions: Iterable[Decision], restarts: frozenset[int] = frozenset()) -> list[Alert]:
    """The alerts of the core over parts, its memory read back after some of them."""
    config, policies = LimitsConfig(remembered_parts=64), one_policy({})
    memory, slots, alerts = PartMemory(64), dict[int, CountedPart](), list[Alert]()
    for number, one in enumerate(decisions):
        step = count(memory, one, policies.for_product("tile"), config, START)
        assert step.entry is not None
        slots[step.slot] = CountedPart.model_validate_json(step.entry.model_dump_json())
        alerts += step.alerts
        if number in restarts:
            memory = restored(slots.values(), 64)["line-1", "tile"]
    return alerts


def test_restarts_change_no_alarm() -> None:
    parts = made_parts(2)
    alerts = counted(parts)
    assert {a.limit for a in alerts} == {"drift/sharpness", "drift/normality"}
    assert {a.station for a in alerts} == {"cam-0", "cam-1"}
    assert counted(parts, frozenset(range(210))) == alerts
    assert counted(parts, frozenset({40, 41, 100, 170, 180, 201})) == alerts


def test_an_alert_says_what_moved_and_asks_for_no_stop() -> None:
    alert = next(a for a in counted(made_parts(2)) if a.limit == "drift/sharpness")
    assert (alert.kind, alert.request_stop, alert.moved) == ("drift", False, ("focus",))
    assert alert.began_at is not None
    assert abs((alert.began_at - START).total_seconds() - 150) < 25
    assert "moved: focus (sharpness 0.6" in alert.reason
    assert "probability of 0.01 at most" in alert.reason


def test_no_probability_watches_nothing() -> None:
    one = made_parts(2)[0]
    config, policy = LimitsConfig(drift_alpha=0), one_policy({}).for_product("tile")
    step = count(PartMemory(64), one, policy, config, START)
    assert step.entry is not None
    assert (step.entry.watched, step.entry.drift) == ({}, None)


def test_a_part_of_several_shots_says_nothing_of_one_camera() -> None:
    one = made_parts(2)[0]
    shot = ShotSummary(
        shot=1,
        source=one.source,
        severity=one.severity,
        action=one.action,
        reason_code=one.reason_code,
    )
    several = one.model_copy(update={"shots": (shot, shot)})
    policy = one_policy({}).for_product("tile")
    watched = [
        step.entry.watched
        for part in (one, several)
        if (step := count(PartMemory(64), part, policy, LimitsConfig(), START)).entry is not None
    ]
    assert watched[0]
    assert watched[1] == {}
