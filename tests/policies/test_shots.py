"""How a policy combines the shots of one part."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from connectors.settings import GatewaySettings
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from streams.codes import Action, DecisionSource, ReasonCode, Severity
from streams.events import Classification, ShotVerdict
from tests.streams import made

CLASSES = {
    "crack": {"severity": "defect", "action": "scrap"},
    "pit": {"severity": "defect", "action": "rework"},
    "dust": {"severity": "negligible", "action": "pass"},
}


def policy(**shots: object) -> ResolvedPolicy:
    body = {"product": "tile", "mm_per_px": {"cam-1": 0.5}, "classes": CLASSES, "shots": shots}
    return ResolvedPolicy(PolicyDocument.model_validate(body))


def good(shot: int, **changes: object) -> ShotVerdict:
    return made.verdict(shot, **changes)  # type: ignore[arg-type]


def named(shot: int, name: str, action: Action, severity: Severity) -> ShotVerdict:
    answer = Classification(class_name=name, confidence=0.9, classifier="twin")
    return made.verdict(
        shot,
        source=DecisionSource.CLASSIFIER,
        action=action,
        severity=severity,
        class_name=name,
        classification=answer,
        rule=f"class:{name}",
        reason_code=ReasonCode.CLASS,
    )


def crack(shot: int) -> ShotVerdict:
    return named(shot, "crack", Action.SCRAP, Severity.DEFECT)


def pit(shot: int) -> ShotVerdict:
    return named(shot, "pit", Action.REWORK, Severity.DEFECT)


def late(shot: int) -> ShotVerdict:
    return made.verdict(
        shot,
        source=DecisionSource.FALLBACK,
        action=Action.HOLD,
        severity=Severity.UNKNOWN,
        class_name="unknown",
        inspection=None,
        rule="fallback:late",
    )


def test_the_gravest_action_decides_and_its_shot_is_named() -> None:
    found = policy().combine([good(1), crack(2), pit(3)])
    assert (found.outcome.action, found.outcome.class_name, found.deciding) == ("scrap", "crack", 1)
    assert found.outcome.reason == "Shot 2 (side2) of 3: shot 2"
    assert found.outcome.rule == "class:crack"
    assert [outcome.action for outcome in found.each] == ["pass", "scrap", "rework"]


def test_a_missing_shot_is_held_and_may_outweigh_a_part_to_rework() -> None:
    found = policy().combine([pit(1), good(2), None])
    assert (found.outcome.action, found.outcome.rule) == ("hold", "shots:missing")
    assert "3 of 3: no worker said anything of it in time" in found.outcome.reason
    seen = policy(combine="any_defect").combine([pit(1), good(2), None])
    assert (seen.outcome.action, seen.outcome.class_name) == ("rework", "pit")


def test_a_shot_that_no_camera_took_is_missing() -> None:
    failed = late(2).model_copy(
        update={"source": DecisionSource.WATCHDOG, "reason_code": ReasonCode.CAPTURE_FAILED}
    )
    found = policy(missing="rework").combine([good(1), failed])
    assert (found.outcome.action, found.outcome.reason_code) == (
        "rework",
        ReasonCode.CAPTURE_FAILED,
    )


def test_all_good_shots_pass() -> None:
    for combine in ("worst_action", "any_defect"):
        found = policy(combine=combine).combine([good(1), good(2), good(3)])
        assert (found.outcome.action, found.deciding) == (Action.PASS, 0)


TWO_PITS = {"name": "two_pits", "when": "class == 'pit'", "at_least": 2, "action": "scrap"}


@pytest.mark.parametrize(
    ("shots", "action"),
    [
        ([pit(1), good(2), pit(3)], "scrap"),
        ([pit(1), good(2), good(3)], "rework"),
        ([pit(1), None, good(3)], "hold"),
    ],
)
def test_a_rule_counts_the_shots_for_which_it_holds(
    shots: list[ShotVerdict | None], action: str
) -> None:
    found = policy(rules=[TWO_PITS]).combine(shots)
    assert found.outcome.action == action
    if action == "scrap":
        assert found.outcome.rule == "shots:two_pits"
        assert found.outcome.reason == "Shots 1 (side1), 3 (side3) of 3: rule two_pits applies."


@pytest.mark.parametrize(
    "when",
    ["area_px < 1000", "!(class == 'crack')", "area_mm2 < 1000", "confidence <= 1", "score > -9"],
)
def test_a_rule_never_holds_for_a_shot_of_which_nothing_was_measured(when: str) -> None:
    rule = {"name": "soft", "when": when, "action": "pass"}
    found = policy(rules=[rule]).combine([None, late(2)])
    assert found.outcome.action is Action.HOLD


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("source == 'missing' && severity == 'unknown' && action == 'hold'", True),
        ("shot == 'side2' && severity == 'normal'", True),
        ("shot == 'side9'", False),
        ("severity == 'defect'", False),
    ],
)
def test_a_rule_may_ask_what_a_shot_was_judged(when: str, holds: bool) -> None:
    rule = {"name": "asked", "when": when, "action": "rework", "severity": "negligible"}
    found = policy(rules=[rule]).combine([good(1), good(2), None])
    assert (found.outcome.rule == "shots:asked") is holds


def test_where_certificates_are_asked_no_rule_over_shots_passes_what_a_shot_may_not() -> None:
    rule = {"name": "one_pit", "when": "class == 'pit'", "action": "pass"}
    shots = [good(1), pit(2)]
    assert policy(rules=[rule]).combine(shots).outcome.action is Action.PASS
    body = policy(rules=[rule]).document.model_dump() | {"auto_pass": "certified"}
    asked = ResolvedPolicy(PolicyDocument.model_validate(body))
    assert asked.combine(shots).outcome.action is Action.REWORK
    assert asked.combine([good(1), good(2)]).outcome.action is Action.PASS


def test_millimetres_are_not_known_at_a_station_without_scale() -> None:
    rule = {"name": "large", "when": "area_mm2 > 1", "action": "hold"}
    shots = [crack(1).model_copy(update={"station": place}) for place in ("cam-1", "elsewhere")]
    assert policy(rules=[rule]).combine(shots[:1]).outcome.rule == "shots:large"
    assert policy(rules=[rule]).combine(shots[1:]).outcome.rule == "class:crack"


@given(
    st.lists(st.sampled_from(["good", "crack", "pit", "late", "missing"]), min_size=1, max_size=5)
)
def test_it_agrees_with_an_evaluator_that_looks_the_answer_up(kinds: list[str]) -> None:
    makers = {"good": good, "crack": crack, "pit": pit, "late": late}
    shots = [makers[kind](n) if kind in makers else None for n, kind in enumerate(kinds, 1)]
    worst = ["good", "pit", "late", "missing", "crack"]
    actions = {"good": "pass", "pit": "rework", "late": "hold", "missing": "hold", "crack": "scrap"}
    assert policy().combine(shots).outcome.action == actions[max(kinds, key=worst.index)]
    defects = ["good", "missing", "late", "pit", "crack"]
    found = policy(combine="any_defect").combine(shots)
    assert found.outcome.action == actions[max(kinds, key=defects.index)]


def test_the_order_of_the_shots_changes_no_action() -> None:
    shots = [crack(1), pit(2), None, good(4)]
    for combine in ("worst_action", "any_defect"):
        found = {
            policy(combine=combine, rules=[TWO_PITS]).combine(order).outcome.action
            for order in itertools.permutations(shots)
        }
        assert found == {Action.SCRAP}


def test_the_examples_of_the_page_are_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "shots.md").read_text()
    (section,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shots = YAML(typ="safe", pure=True).load(section)["shots"]
    found = policy(**shots).combine([pit(1), pit(2), None])
    assert found.outcome.rule == "shots:two_pits"
    (station,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    listed = GatewaySettings(**tomllib.loads(station)["gateway"]).shots
    assert [shot.name for shot in listed] == ["top", "left", "left_dark_field"]
    assert listed[2].delay_ms == 80
