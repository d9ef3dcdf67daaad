"""Back-tests: exact against an independent evaluator, honest about what they cannot know."""

import gzip
import random
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from policies.authoring.loading import load_policy
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument, body_of
from policies.review.backtest import Backtest, backtest
from policies.review.export_reader import read_decisions, read_reviews
from streams.codes import Action, DecisionSource, FallbackKind, ReasonCode, Severity
from streams.events import Decision, Inspection, Review
from streams.ports import Situation
from tests.policies.naive import naive, recorded, some_facts

FULL = Path(__file__).parents[1] / "full.yaml"
SIZE = 3000
TOLD = ("action", "severity", "class_name", "class_id", "reason_code", "rule")


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(FULL.read_text()))


@pytest.fixture(scope="module")
def policy() -> ResolvedPolicy:
    return load_policy(FULL)


@pytest.fixture(scope="module")
def corpus(plain: dict[str, Any], policy: ResolvedPolicy) -> list[Decision]:
    """Frozen by its seed; what is recorded comes from the naive evaluator alone."""
    chance = random.Random(20261123)
    situations = [some_facts(chance, plain) for _ in range(SIZE)]
    return [
        recorded(facts, naive(plain, facts), policy.policy_hash, "everything")
        for facts in situations
    ]


def variant(policy: ResolvedPolicy, **changes: Any) -> ResolvedPolicy:
    body = body_of(policy.document)
    for path, value in changes.items():
        *way, last = path.split("__")
        inner: Any = body
        for step in way:
            inner = inner[step]
        inner[last] = value
    return ResolvedPolicy(PolicyDocument.model_validate(body))


def test_the_version_in_force_reproduces_every_recorded_decision(
    policy: ResolvedPolicy, corpus: list[Decision]
) -> None:
    report = backtest(policy, corpus)
    assert [p.reason for p in report.mismatches.parts] == []
    assert (report.in_force, report.decisions, report.total_changed) == (SIZE, SIZE, 0)
    rules = {d.rule for d in corpus}
    assert {f"rule:{r.name}" for r in policy.document.rules} <= rules, "every rule takes part"
    assert {f"fallback:{k.value}" for k in FallbackKind} <= rules
    assert {f"class:{c}" for c in policy.document.classes} <= rules


def test_a_late_part_that_the_stop_rate_let_pass_is_reproduced(
    plain: dict[str, Any], policy: ResolvedPolicy
) -> None:
    limited = ResolvedPolicy.from_body({**policy.body, "stop_rate": 0.03})
    facts = next(
        facts
        for facts in (some_facts(random.Random(n), plain) for n in range(1000))
        if facts["fallback"] == "late"
    )
    passed = recorded(facts, naive(plain, facts), limited.policy_hash, "everything")
    seen = Inspection(score=3, threshold=2, p_value=0.1, anomalous=True, expert_version="e1")
    outcome = limited.decide(Situation(inspection=seen, fallback=FallbackKind.LATE))
    assert (outcome.rule, outcome.action) == ("stop_rate", Action.PASS)
    told = {name: getattr(outcome, name) for name in TOLD}
    passed = passed.model_copy(update={"inspection": seen, "classification": None, **told})
    report = backtest(limited, [passed])
    assert [part.reason for part in report.mismatches.parts] == []
    assert (report.in_force, report.total_changed) == (1, 0)
    ((_, before, after),) = backtest(policy, [passed]).changed
    assert (before, after) == ("pass", policy.document.fallbacks.late.value)


def test_it_says_which_decision_is_not_reproduced_and_why(
    policy: ResolvedPolicy, corpus: list[Decision]
) -> None:
    forged = corpus[7].model_copy(update={"action": Action.PASS, "rule": "class:forged"})
    report = backtest(policy, [*corpus[:7], forged, *corpus[8:]])
    (part,) = report.mismatches.parts
    assert part.frame_id == str(forged.frame_id)
    assert "recorded class:forged" in part.reason
    assert not report.exact


def test_changes_by_class_and_action_are_those_of_the_naive_evaluator(
    plain: dict[str, Any], policy: ResolvedPolicy, corpus: list[Decision]
) -> None:
    candidate = variant(policy, classes__hole__action="rework", fallbacks__late="hold")
    changed = {**plain, "classes": {**plain["classes"]}, "fallbacks": {**plain["fallbacks"]}}
    changed["classes"]["hole"] = {**plain["classes"]["hole"], "action": "rework"}
    changed["fallbacks"]["late"] = "hold"
    chance, expected = random.Random(20261123), {}
    for _ in range(SIZE):
        facts = some_facts(chance, plain)
        one, two = naive(plain, facts), naive(changed, facts)
        if one["action"] != two["action"]:
            key = (two["class_name"], one["action"], two["action"])
            expected[key] = expected.get(key, 0) + 1
    report = backtest(candidate, corpus)
    assert expected
    assert dict(report.changed) == expected
    assert report.in_force == 0


def test_escapes_scrap_and_cost_with_serials_and_pictures(
    policy: ResolvedPolicy, corpus: list[Decision]
) -> None:
    holes = [d for d in corpus if d.rule == "class:hole"][:3]
    dust = next(d for d in corpus if d.rule == "class:dust")
    found = {holes[0].frame_id: Severity.DEFECT, dust.frame_id: Severity.NORMAL}
    softer = variant(policy, classes__hole__action="pass", classes__dust__action="scrap")
    report = backtest(softer, [*holes, dust], found)
    (escape,) = report.escapes.parts
    assert (escape.part_id, escape.before, escape.after) == (holes[0].part_id, "scrap", "pass")
    assert escape.image == f"inspections/2026/11/02/{holes[0].frame_id}/image"
    assert [p.part_id for p in report.possible_escapes.parts] == [h.part_id for h in holes[1:]]
    assert [p.part_id for p in report.scrapped.parts] == [dust.part_id]
    assert [p.reviewed for p in report.good_scrapped.parts] == ["normal"]
    assert report.cost is not None
    assert (report.cost.recorded, report.cost.candidate) == (15.0, 5.0)
    assert (report.cost.escapes_recorded, report.cost.escapes_candidate) == (0.0, 100.0)


def test_a_change_of_the_prompt_is_not_judged(
    policy: ResolvedPolicy, corpus: list[Decision]
) -> None:
    reworded = variant(policy, classes__crack__description="A deep line.")
    named = sum(d.classification is not None for d in corpus)
    known = backtest(reworded, corpus, versions={policy.policy_hash: policy})
    assert known.not_judgeable == named
    assert "A deep line." in " ".join(known.prompt_changes[policy.policy_hash])
    unknown = backtest(reworded, corpus)
    assert unknown.not_judgeable == named
    assert unknown.unknown_versions == {policy.policy_hash}
    same_texts = variant(policy, classes__crack__action="scrap")
    assert backtest(same_texts, corpus, versions={policy.policy_hash: policy}).not_judgeable == 0


def test_late_answers_and_parts_without_a_policy_are_not_counted(
    policy: ResolvedPolicy, corpus: list[Decision]
) -> None:
    late = corpus[0].model_copy(update={"is_late": True})
    bare = corpus[1].model_copy(update={"policy_hash": "", "rule": "unknown_product"})
    other = corpus[2].model_copy(update={"product_id": "another"})
    report = backtest(policy, [late, bare, other, corpus[3]])
    assert (report.late, report.without_policy, report.other_products) == (1, 1, 1)
    assert (report.decisions, report.in_force) == (1, 2)


def test_the_gateways_own_decision_is_replayed(
    policy: ResolvedPolicy, corpus: list[Decision]
) -> None:
    watchdog = corpus[0].model_copy(
        update={
            "source": DecisionSource.WATCHDOG,
            "rule": "fallback:no_decision",
            "inspection": None,
            "classification": None,
            "action": Action.SCRAP,
            "severity": Severity.UNKNOWN,
            "class_name": "unknown",
            "class_id": -1,
            "reason_code": ReasonCode.NO_DECISION,
        }
    )
    assert backtest(policy, [watchdog]).exact


def test_a_dump_holds_decisions_and_reviews(
    policy: ResolvedPolicy, corpus: list[Decision], tmp_path: Path
) -> None:
    review = Review(
        review_id=corpus[0].frame_id,
        frame_id=corpus[0].frame_id,
        reviewer="ada",
        severity=Severity.DEFECT,
        reviewed_at=corpus[0].decided_at,
    )
    lines = [d.model_dump_json() for d in corpus[:50]] + [review.model_dump_json(), "", "{}"]
    path = tmp_path / "dump.jsonl"
    path.write_text("\n".join(lines))
    packed = tmp_path / "dump.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for file in (path, packed):
        assert backtest(policy, read_decisions(file), read_reviews(file)).reviewed == 1
    assert list(read_decisions(path)) == corpus[:50]


@pytest.mark.parametrize(
    ("line", "reason"),
    [('{"result_id": 1}', "frame_id"), ("[]", "JSON object"), ("{half", "JSON object")],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_text("{}\n" + line + "\n")
    with pytest.raises(PolicyError, match=rf"dump\.jsonl:2: .*{reason}"):
        list(read_decisions(path))


def test_the_fold_is_bounded(policy: ResolvedPolicy, corpus: list[Decision]) -> None:
    """What it keeps does not grow with the history: parts are listed up to a bound."""
    fold = Backtest(variant(policy, classes__hole__action="pass"), {policy.policy_hash: policy})
    hole = next(d for d in corpus if d.rule == "class:hole")
    for _ in range(3000):
        fold.add(hole)
    assert fold.report.possible_escapes.count == 3000
    assert len(fold.report.possible_escapes.parts) == 1000


def test_a_review_that_cannot_be_read_is_no_missing_review(tmp_path: Path) -> None:
    file = tmp_path / "dump.jsonl"
    file.write_text('{"review_id": "not an id"}\n')
    with pytest.raises(PolicyError, match=r"dump\.jsonl:1: no review: review_id: "):
        read_reviews(file)
