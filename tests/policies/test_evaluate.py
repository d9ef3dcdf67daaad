"""What each outcome means, for the shipped policies and for hostile words."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.benchmarks.policy import measure_decisions
from policies.authoring.loading import load_policy
from policies.defaults import HoldEverything
from policies.errors import TamperedPolicyError
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from streams.codes import Action, FallbackKind, ReasonCode, Severity
from streams.events import Classification, Inspection, Region
from streams.ports import Failure, Policy, Situation

PRODUCTS = Path(__file__).parents[2] / "policies" / "products"
FULL = Path(__file__).with_name("full.yaml")
_NOBODY = "fallback:no_decision"


@pytest.fixture(scope="module")
def tile() -> ResolvedPolicy:
    return load_policy(PRODUCTS / "magnetic_tile.yaml")


@pytest.fixture(scope="module")
def full() -> ResolvedPolicy:
    return load_policy(FULL)


def inspection(area_px: float = 100.0, anomalous: bool = True) -> Inspection:
    region = Region(
        image_height=100, image_width=100, mask_height=4, mask_width=4, mask_rle="",
        area_px=area_px, longest_side_px=10.0, count=1,
    )  # fmt: skip
    return Inspection(
        score=3.0, threshold=2.0, p_value=0.01, anomalous=anomalous, expert_version="e",
        region=region if anomalous else None,
    )  # fmt: skip


def named(name: str, confidence: float = 0.9, **more: object) -> Situation:
    answer = Classification(class_name=name, confidence=confidence, classifier="test")
    return Situation(inspection=inspection(), classification=answer, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("situation", "action", "severity", "code", "rule"),
    [
        (Situation(inspection=inspection(anomalous=False)), "pass", "normal", "NORMAL", "normal"),
        (named("crack"), "scrap", "defect", "CLASS", "class:crack"),
        (named("blowhole"), "rework", "defect", "CLASS", "class:blowhole"),
        (named("uneven"), "pass", "negligible", "CLASS", "class:uneven"),
        (named("normal"), "pass", "normal", "CLASS", "class:normal"),
        (named("unknown"), "hold", "unknown", "UNKNOWN_CLASS", "fallback:unknown"),
        (named("unknown", 0.0), "hold", "unknown", "UNKNOWN_CLASS", "fallback:unknown"),
        (named("dent"), "hold", "unknown", "UNKNOWN_CLASS", "fallback:unknown"),
        (named("Crack"), "hold", "unknown", "UNKNOWN_CLASS", "fallback:unknown"),
        (named("crack", 0.2), "hold", "unknown", "UNSURE", "fallback:unsure"),
        (Situation(fallback=FallbackKind.LATE), "hold", "unknown", "LATE", "fallback:late"),
        (Situation(inspection=inspection()), "hold", "unknown", "NO_DECISION", _NOBODY),
        (Situation(), "hold", "unknown", "NO_DECISION", _NOBODY),
    ],
)  # fmt: skip
def test_the_meaning_of_each_outcome(
    tile: ResolvedPolicy, situation: Situation, action: str, severity: str, code: str, rule: str
) -> None:
    outcome = tile.decide(situation)
    assert (outcome.action.value, outcome.severity.value) == (action, severity)
    assert (outcome.reason_code.name, outcome.rule) == (code, rule)


def test_it_is_the_port(tile: ResolvedPolicy) -> None:
    policy: Policy = tile
    assert policy.product_id == "magnetic_tile"
    assert 0 < policy.audit_share < 1
    assert [c.name for c in policy.texts("any").classes] == sorted(tile.document.classes)
    assert all(c.description and c.display_name for c in policy.texts("any").classes)
    assert policy.texts("any").egress == "none"
    assert policy.texts("any").stop_rate == tile.document.stop_rate


def test_a_failure_gives_its_own_reason(tile: ResolvedPolicy) -> None:
    failure = Failure(ReasonCode.UNDECODABLE_IMAGE, "X", "not a JPEG\n\x1b[31m" + "x" * 1000)
    outcome = tile.decide(Situation(fallback=FallbackKind.EXPERT_UNAVAILABLE, failure=failure))
    assert outcome.reason_code is ReasonCode.UNDECODABLE_IMAGE
    assert "not a JPEG" in outcome.reason
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 500


def test_a_rule_says_why_in_its_own_words(tile: ResolvedPolicy) -> None:
    answer = Classification(class_name="fray", confidence=0.9, classifier="t")
    big = Situation(inspection=inspection(area_px=20_000), classification=answer)
    outcome = tile.decide(big)
    assert outcome.action is Action.SCRAP
    assert outcome.reason == (
        "Fray: so much frayed edge cannot be ground away (confidence 90%, area 20000 px)."
    )


def test_unsure_keeps_the_guess_and_unknown_does_not(tile: ResolvedPolicy) -> None:
    unsure, unknown = tile.decide(named("crack", 0.1)), tile.decide(named("dent"))
    assert (unsure.class_name, unsure.class_id) == ("crack", 2)
    assert (unknown.class_name, unknown.class_id) == ("unknown", -1)


def test_the_scale_is_the_stations(full: ResolvedPolicy) -> None:
    """15 px are 1.5 mm at S1 and 3 mm at S2; zone and shift as the corpus tests them."""
    at = {s: full.measure(Situation(station=s, inspection=inspection())) for s in ("S1", "S2")}
    assert (at["S1"]["longest_mm"], at["S2"]["longest_mm"]) == (1.0, 2.0)
    assert at["S1"]["area_mm2"] == pytest.approx(1.0)
    assert at["S2"]["area_mm2"] == pytest.approx(4.0)


def test_a_station_without_a_scale_is_unsure() -> None:
    policy = ResolvedPolicy(
        PolicyDocument.model_validate(
            {
                "product": "p",
                "mm_per_px": {"S1": 0.1},
                "classes": {"crack": {"severity": "defect", "action": "pass"}},
                "rules": [{"name": "big", "when": "area_mm2 > 5", "action": "scrap"}],
            }
        )
    )
    outcome = policy.decide(named("crack", station="S2"))
    assert (outcome.action, outcome.rule) == (Action.HOLD, "fallback:unsure")
    assert "scale" in outcome.reason
    assert policy.decide(named("crack", station="S1")).action is Action.PASS


@pytest.mark.parametrize(
    ("hour", "shift"), [(20, ""), (21, "night"), (2, "night"), (4, "night"), (5, "")]
)
def test_a_shift_passes_midnight_in_its_own_timezone(
    full: ResolvedPolicy, hour: int, shift: str
) -> None:
    """22:00 to 06:00 in Berlin is 21:00 to 05:00 UTC in November."""
    moment = datetime(2026, 11, 3, hour, 0, tzinfo=UTC)
    assert full.measure(Situation(captured_at=moment))["shift"] == shift


def test_stated_class_numbers_stay_and_the_others_fill_up() -> None:
    entry = {"severity": "defect", "action": "scrap"}
    classes = {"b": entry, "a": entry, "z": {**entry, "id": 0}, "c": {**entry, "id": 7}}
    document = PolicyDocument.model_validate({"product": "p", "classes": classes})
    assert ResolvedPolicy(document).class_ids == {"z": 0, "a": 1, "b": 2, "c": 7}


def test_a_tampered_body_is_refused(tile: ResolvedPolicy) -> None:
    body = {**tile.body, "audit_share": 1.0}
    with pytest.raises(TamperedPolicyError, match="apply the product's policy again"):
        ResolvedPolicy.from_body(body, tile.policy_hash)


def test_an_unknown_product_is_held() -> None:
    policy: Policy = HoldEverything("x")
    for situation in (
        named("crack"),
        Situation(),
        Situation(inspection=inspection(anomalous=False)),
    ):
        outcome = policy.decide(situation)
        assert (outcome.action, outcome.severity) == (Action.HOLD, Severity.UNKNOWN)
        assert outcome.reason_code is ReasonCode.UNKNOWN_PRODUCT
    assert policy.policy_hash == ""


@pytest.mark.parametrize(
    "word",
    ["'; DROP TABLE decision; --", "{{ 7 * 7 }}", "a\nb", "\x1b[2J", "\u202etxt", "x" * 512, ""],
)
def test_hostile_class_names_are_plain_data(tile: ResolvedPolicy, word: str) -> None:
    """It is unknown, and quoted on one line."""
    outcome = tile.decide(named(word))
    assert (outcome.action, outcome.class_name) == (Action.HOLD, "unknown")
    assert outcome.reason.isprintable()
    assert len(outcome.reason) <= 512


def test_the_benchmark_decides_by_its_last_rule() -> None:
    assert measure_decisions(seconds=0).last_rule_share == 1.0


def with_rate(policy: ResolvedPolicy, rate: float | None) -> ResolvedPolicy:
    return ResolvedPolicy.from_body({**policy.body, "stop_rate": rate})


def crack(p_value: float | None) -> Classification:
    return Classification(
        class_name="crack", confidence=0.9, classifier="c", normal_p_value=p_value
    )


@pytest.mark.parametrize(
    ("together", "alone", "stopped"),
    [
        (0.05, 0.2, True),
        (0.051, 0.2, False),
        (0.2, 0.001, False),
        (None, 0.05, True),
        (None, 0.06, False),
    ],
)
def test_no_more_is_stopped_than_the_stop_rate_allows(
    tile: ResolvedPolicy, together: float | None, alone: float, stopped: bool
) -> None:
    """The pair's p-value decides; the expert's where the two were not calibrated together."""
    seen = inspection().model_copy(update={"p_value": alone})
    situation = Situation(inspection=seen, classification=crack(together))
    outcome = with_rate(tile, 0.05).decide(situation)
    assert outcome.action is (Action.SCRAP if stopped else Action.PASS)
    assert outcome.severity is (Severity.DEFECT if stopped else Severity.NORMAL)
    assert (outcome.rule == "stop_rate") is not stopped
    if not stopped:
        assert "5.0% of them may be stopped" in outcome.reason
    assert with_rate(tile, None).decide(situation).action is Action.SCRAP


def test_what_is_odder_than_all_normals_is_stopped_however_few_they_are(
    tile: ResolvedPolicy,
) -> None:
    """Ten parts vouch for no less than one in eleven, and the stop rate asks for one in twenty."""
    odd = {"p_value": 1 / 11, "least_p_value": 1 / 11}
    seen = inspection().model_copy(update=odd)
    situation = Situation(inspection=seen, classification=crack(None))
    assert with_rate(tile, 0.05).decide(situation).action is Action.SCRAP
    usual = seen.model_copy(update={"p_value": 2 / 11})
    situation = Situation(inspection=usual, classification=crack(None))
    assert with_rate(tile, 0.05).decide(situation).action is Action.PASS


def test_a_late_classifier_stops_what_the_expert_alone_would_stop(tile: ResolvedPolicy) -> None:
    policy = with_rate(tile, 0.05)
    for p_value, action in ((0.04, Action.HOLD), (0.15, Action.PASS)):
        seen = inspection().model_copy(update={"p_value": p_value})
        late = Situation(inspection=seen, fallback=FallbackKind.LATE)
        assert policy.decide(late).action is action
    seen = inspection().model_copy(update={"p_value": 0.15})
    nobody = Situation(inspection=seen, fallback=FallbackKind.NO_DECISION)
    assert policy.decide(nobody).action is Action.HOLD


def test_golden_parts_are_right_by_action_and_where_asked_by_severity() -> None:
    golden = {
        "GOOD": {"action": ["pass"]},
        "BAD": {"action": ["rework", "scrap"], "severity": "defect"},
    }
    policy = ResolvedPolicy(PolicyDocument.model_validate({"product": "tile", "golden": golden}))

    def right(part: str, action: Action, severity: Severity) -> bool | None:
        check = policy.golden(part, action, severity)
        return None if check is None else check.is_right

    assert right("GOOD", Action.PASS, Severity.NEGLIGIBLE)
    assert right("GOOD", Action.HOLD, Severity.UNKNOWN) is False
    assert right("BAD", Action.SCRAP, Severity.DEFECT)
    assert right("BAD", Action.SCRAP, Severity.NEGLIGIBLE) is False
    assert right("BAD", Action.PASS, Severity.DEFECT) is False
    assert right("good", Action.PASS, Severity.NORMAL) is None


def test_exactly_the_confidence_that_is_asked_is_enough(tile: ResolvedPolicy) -> None:
    below = tile.document.fallbacks.unsure.below
    assert tile.decide(named("crack", below)).rule == "class:crack"
    assert tile.decide(named("crack", below - 0.001)).rule == "fallback:unsure"


def small(**more: object) -> ResolvedPolicy:
    """Two classes, and what else a test asks for."""
    classes = {
        "dust": {"severity": "negligible", "action": "pass", "display_name": "Dust, grey"},
        "pit": {"severity": "defect", "action": "rework"},
    }
    return ResolvedPolicy(
        PolicyDocument.model_validate({"product": "tile", "classes": classes, **more})
    )


def test_a_rule_has_the_severity_that_it_names_or_the_classs() -> None:
    own = {"name": "any_dust", "when": "class == 'dust'", "severity": "defect", "action": "scrap"}
    silent = {"name": "any_pit", "when": "class == 'pit'", "action": "hold"}
    policy = small(rules=[own, silent])
    assert policy.decide(named("dust")).severity is Severity.DEFECT
    assert policy.decide(named("pit")).severity is Severity.DEFECT
    assert small(rules=[{**silent, "when": "true"}]).decide(named("dust")).severity is (
        Severity.NEGLIGIBLE
    )


def test_a_class_without_a_name_to_show_is_called_as_it_is() -> None:
    shown = {c.name: c.display_name for c in small().texts("any").classes}
    assert shown == {"dust": "Dust, grey", "pit": "pit"}


def test_the_path_says_which_rule_held() -> None:
    rules = [
        {"name": "first", "when": "class == 'pit'", "action": "hold"},
        {"name": "second", "when": "class == 'dust'", "action": "hold"},
    ]
    _, steps = small(rules=rules).explain(named("dust"))
    assert "rule first: class == 'pit' is false" in steps
    assert "rule second: class == 'dust' is true" in steps


def test_what_was_late_is_told_by_what_was_there(tile: ResolvedPolicy) -> None:
    expert = tile.decide(Situation(fallback=FallbackKind.LATE)).reason
    classifier = tile.decide(Situation(inspection=inspection(), fallback=FallbackKind.LATE)).reason
    assert "expert" in expert
    assert "expert" not in classifier
