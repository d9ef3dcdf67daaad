"""What holds for every policy and every input (hypothesis)."""

import json
import math
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.conditions.checker import check
from policies.conditions.compiled import CompiledCondition, context_of, problems_of
from policies.conditions.parser import parse
from policies.conditions.variables import VARIABLES, Vocabulary
from policies.errors import ConditionError
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument, body_of, content_hash
from policies.review.diff import difference
from streams.codes import Action, FallbackKind, ReasonCode
from streams.events import Blob, Box, Classification, Inspection, Region
from streams.inspections import FLOAT32_MAX
from streams.ports import Failure, Outcome, Situation
from tests.policies.naive import holds

CLASSES = ("crack", "dust", "hole")
HARSHNESS = [Action.PASS, Action.HOLD, Action.REWORK, Action.SCRAP]
names = st.sampled_from(CLASSES)
actions = st.sampled_from([a.value for a in Action])
severities = st.sampled_from(["normal", "negligible", "defect"])
numbers = st.floats(0, 100, allow_nan=False).map(lambda n: round(n, 2))
comparisons = st.builds(
    lambda name, op, value: f"{name} {op} {value}",
    st.sampled_from(
        [n for n, v in VARIABLES.items() if v.kind is float and n not in ("confidence", "p_value")]
    ),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    numbers,
)
texts = st.one_of(
    st.builds(lambda n, op: f"class {op} '{n}'", names, st.sampled_from(["==", "!="])),
    st.builds(lambda ns: f"class in {ns!r}", st.lists(names, min_size=1, max_size=3)),
    st.sampled_from(["zone == 'rim'", "lot.startsWith('A')", "station.contains('S')", "true"]),
)
conditions = st.recursive(
    st.one_of(comparisons, texts),
    lambda inner: st.one_of(
        inner.map(lambda c: f"!({c})"),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(
            lambda c: f"({c[0]} {c[1]} {c[2]})"
        ),
    ),
    max_leaves=6,
)
entries = st.fixed_dictionaries({"severity": severities, "action": actions})
rules = st.lists(st.tuples(conditions, actions), max_size=5).map(
    lambda found: [
        {"name": f"r{n}", "when": when, "action": action} for n, (when, action) in enumerate(found)
    ]
)
bodies = st.fixed_dictionaries(
    {
        "product": st.just("p"),
        "mm_per_px": st.just({"default": 0.5}),
        "classes": st.fixed_dictionaries(dict.fromkeys(CLASSES, entries)),
        "zones": st.just(
            [{"name": "rim", "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 0.25], [0.0, 0.25]]}]
        ),
        "rules": rules,
        "fallbacks": st.fixed_dictionaries(
            {
                "unknown": actions,
                "unsure": st.fixed_dictionaries({"below": st.floats(0, 1), "action": actions}),
                "late": actions,
                "expert_unavailable": actions,
                "no_decision": actions,
            }
        ),
    }
)
odd_enough = st.fixed_dictionaries(
    {"normal": st.fixed_dictionaries({"false_alarm": actions})},
    optional={"stop_rate": st.sampled_from([0.01, 0.3, 0.9])},
)
"""From which oddness on a part is stopped, and what becomes of the others."""
wild = st.floats(-FLOAT32_MAX, FLOAT32_MAX)
int32 = st.integers(-(2**31), 2**31 - 1)
regions = st.builds(
    Region,
    image_height=st.integers(0, 10**6),
    image_width=st.integers(0, 10**6),
    mask_height=st.integers(0, 3000),
    mask_width=st.integers(0, 3000),
    mask_rle=st.one_of(st.text(max_size=30), st.just("0`8"), st.just("PPP1")),
    area_px=wild,
    longest_side_px=wild,
    count=st.integers(-(10**6), 10**6),
    blobs=st.lists(
        st.builds(
            Blob,
            box=st.builds(
                Box, x=int32, y=int32, width=int32, height=int32
            ),
            area_px=wild, longest_side_px=wild, centroid_x=wild, centroid_y=wild, peak=wild,
        ),
        max_size=2,
    ).map(tuple),
)  # fmt: skip
situations = st.builds(
    Situation,
    station=st.text(max_size=10),
    lot_id=st.text(max_size=10),
    inspection=st.none()
    | st.builds(
        Inspection,
        score=wild, threshold=wild, p_value=st.floats(0, 1), anomalous=st.booleans(),
        region=st.none() | regions, expert_version=st.just("e"),
    ),
    classification=st.none()
    | st.builds(
        Classification,
        class_name=names | st.sampled_from(["normal", "unknown"]) | st.text(max_size=20),
        confidence=st.floats(0, 1), classifier=st.just("c"), unknown_reason=st.text(max_size=20),
    ),
    fallback=st.none() | st.sampled_from(FallbackKind),
    failure=st.none()
    | st.builds(
        Failure,
        reason_code=st.sampled_from(ReasonCode), error_type=st.text(max_size=5),
        message=st.text(max_size=600),
    ),
    captured_at=st.none() | st.datetimes(timezones=st.timezones()),
)  # fmt: skip
relaxed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def policy_of(body: dict[str, Any]) -> ResolvedPolicy:
    return ResolvedPolicy(PolicyDocument.model_validate(body))


@relaxed
@given(body=bodies, situation=situations)
def test_total_and_deterministic(body: dict[str, Any], situation: Situation) -> None:
    policy = policy_of(body)
    outcome = policy.decide(situation)
    assert outcome == policy.decide(situation)
    explained, steps = policy.explain(situation)
    assert explained == outcome
    assert steps
    assert outcome.rule
    assert outcome.reason_code is not ReasonCode.NONE
    assert 0 < len(outcome.reason) <= 2048
    assert "\n" not in outcome.reason
    assert "\x00" not in outcome.reason
    assert -1 <= outcome.class_id < len(CLASSES)


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: shuffled(inner, chance) for key, inner in items}
    return [shuffled(inner, chance) for inner in value] if isinstance(value, list) else value


@relaxed
@given(body=bodies, situation=situations, seed=st.integers(0, 1000))
def test_the_order_of_keys_never_matters(
    body: dict[str, Any], situation: Situation, seed: int
) -> None:
    one, two = policy_of(body), policy_of(shuffled(body, random.Random(seed)))
    assert one.policy_hash == two.policy_hash
    assert one.decide(situation) == two.decide(situation)
    assert one.texts("s") == two.texts("s")
    stored = json.loads(json.dumps(body_of(one.document), sort_keys=True))
    assert ResolvedPolicy.from_body(stored, one.policy_hash).decide(situation) == one.decide(
        situation
    )


thresholds = st.lists(st.floats(1, 1000).map(lambda n: round(n, 1)), min_size=1, max_size=4)


@relaxed
@given(
    limits=st.dictionaries(names, thresholds, min_size=1),
    base=st.sampled_from([Action.PASS, Action.HOLD]),
    size=st.floats(0, 1200),
    growth=st.floats(1, 3),
    name=names,
    measure=st.sampled_from(["area_mm2", "longest_mm", "area_px", "count"]),
)
def test_a_larger_region_is_never_softer_where_rules_are_monotone(
    limits: dict[str, list[float]],
    base: Action,
    size: float,
    growth: float,
    name: str,
    measure: str,
) -> None:
    """Monotone: all thresholds are lower bounds, the harsher action is asked first."""
    found = []
    for of_class, values in limits.items():
        harsher = sorted(values, reverse=True)
        for step, value in enumerate(harsher):
            action = HARSHNESS[max(3 - step, HARSHNESS.index(base))]
            found.append(
                {
                    "name": f"{of_class}{step}",
                    "when": f"class == '{of_class}' && {measure} > {value}",
                    "action": action.value,
                }
            )
    classes = {n: {"severity": "defect", "action": base.value} for n in CLASSES}
    policy = policy_of(
        {"product": "p", "mm_per_px": {"default": 0.5}, "classes": classes, "rules": found}
    )

    def outcome(extent: float) -> Outcome:
        region = Region(
            image_height=9, image_width=9, mask_height=3, mask_width=3, mask_rle="",
            area_px=extent * 4, longest_side_px=extent, count=math.ceil(extent),
        )  # fmt: skip
        return policy.decide(
            Situation(
                inspection=Inspection(
                    score=1, threshold=0, p_value=0, anomalous=True, region=region,
                    expert_version="e",
                ),
                classification=Classification(class_name=name, confidence=1, classifier="c"),
            )
        )  # fmt: skip

    smaller, larger = outcome(size), outcome(size * growth)
    assert HARSHNESS.index(larger.action) >= HARSHNESS.index(smaller.action)


VOCABULARY = Vocabulary(frozenset(CLASSES), frozenset({"rim"}))


@relaxed
@given(
    condition=conditions,
    values=st.fixed_dictionaries(
        {n: numbers if v.kind is float else st.sampled_from(["crack", "rim", "A1", "S", ""])
         for n, v in VARIABLES.items()}
    ),
)  # fmt: skip
def test_cel_agrees_with_a_second_reading(condition: str, values: dict[str, Any]) -> None:
    compiled = CompiledCondition(condition, VOCABULARY)
    assert compiled.holds(context_of(values)) is holds(condition, values)


@relaxed
@given(
    text=st.text(alphabet=" ()!&|=<>'\"[],.+-*/0159aclszone_in\\{}", max_size=60)
    | st.text(max_size=40)
)
def test_any_text_is_compiled_or_refused_with_a_reason(text: str) -> None:
    """Nothing but ``ConditionError`` leaves the parser, and what it accepts runs."""
    problems = problems_of(text, VOCABULARY)
    if problems:
        assert all(p.reason and p.column >= 1 for p in problems)
        with pytest.raises(ConditionError):
            CompiledCondition(text, VOCABULARY)
        return
    assert not check(parse(text), VOCABULARY)
    values = {n: 1.0 if v.kind is float else "" for n, v in VARIABLES.items()}
    assert CompiledCondition(text, VOCABULARY).holds(context_of(values)) in (True, False)


@relaxed
@given(body=bodies, situation=situations)
def test_no_change_is_no_difference_and_a_body_is_its_hash(
    body: dict[str, Any], situation: Situation
) -> None:
    policy = policy_of(body)
    assert difference(policy, policy).lines() == ["nothing changes"]
    assert content_hash(policy.body) == policy.policy_hash


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(one=bodies, two=bodies, passing=st.tuples(odd_enough, odd_enough), situation=situations)
def test_no_softening_goes_unnamed(
    one: dict[str, Any],
    two: dict[str, Any],
    passing: tuple[dict[str, Any], dict[str, Any]],
    situation: Situation,
) -> None:
    """Where a stopped part would pass, the difference says that the change softens."""
    old, new = policy_of({**one, **passing[0]}), policy_of({**two, **passing[1]})
    before, after = old.decide(situation), new.decide(situation)
    if before.action is not Action.PASS and after.action is Action.PASS:
        assert difference(old, new).softens
