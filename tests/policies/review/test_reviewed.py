"""What a certificate stands on: reviewed answers that the policy lets pass, of one version."""

import json
import random
from pathlib import Path

import pytest

from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from policies.review.review_table import read_review_table
from policies.review.reviewed import Reviewing, Versions, of_table, passing_classes
from streams.codes import Severity
from streams.events import Classification, Decision, Inspection
from tests.policies.naive import recorded, some_facts
from tests.policies.test_certified import BODY


def policy(**changes: object) -> ResolvedPolicy:
    return ResolvedPolicy(PolicyDocument.model_validate(BODY | changes))


def decided(
    name: str, confidence: float = 0.9, expert: str = "e1", area_px: float = 9.0
) -> Decision:
    chance = random.Random(1)
    facts = next(f for f in (some_facts(chance, {"classes": {}}) for _ in range(99)) if f["class"])
    verdict = {
        "action": "pass", "severity": "negligible", "class_name": name, "class_id": 0,
        "reason_code": "CLASS", "rule": f"class:{name}",
    }  # fmt: skip
    found = recorded(facts | {"area_px": area_px}, verdict, "0" * 64, "tile")
    assert isinstance(found.inspection, Inspection)
    return found.model_copy(
        update={
            "inspection": found.inspection.model_copy(update={"expert_version": expert}),
            "classification": Classification(
                class_name=name, confidence=confidence, classifier="prototypes"
            ),
        }
    )


def test_reviewed_answers_that_pass_are_collected_by_version() -> None:
    fold = Reviewing(policy(auto_pass="certified"))
    fold.add(decided("dust", expert="old"), Severity.DEFECT)
    fold.add(decided("dust"), Severity.NEGLIGIBLE)
    fold.add(decided("normal", 0.8), Severity.NORMAL)
    collected = fold.collected
    assert collected.latest == Versions("e1", "prototypes")
    assert [(a.class_name, a.confidence, a.is_defect) for a in collected.of_latest] == [
        ("dust", 0.9, False),
        ("normal", 0.8, False),
    ]
    assert collected.of_others == 1


def test_what_says_nothing_of_passing_by_itself_is_left_out() -> None:
    fold = Reviewing(policy())
    fold.add(decided("dust"), None)
    fold.add(decided("dust"), Severity.UNKNOWN)
    fold.add(decided("dust", confidence=0.1), Severity.DEFECT)
    fold.add(decided("dust").model_copy(update={"is_late": True}), Severity.DEFECT)
    fold.add(decided("dust").model_copy(update={"product_id": "other"}), Severity.DEFECT)
    fold.add(decided("crack"), Severity.DEFECT)
    assert fold.collected.of_latest == []
    assert fold.collected.stopped == {"dust": 1, "crack": 1}


def test_a_rule_that_lets_a_class_pass_is_asked() -> None:
    fold = Reviewing(policy())
    fold.add(decided("crack", area_px=2.0), Severity.DEFECT)
    (answer,) = fold.collected.of_latest
    assert (answer.class_name, answer.is_defect) == ("crack", True)
    assert passing_classes(policy()) == ("dust", "normal", "stain")


ROWS = [
    {"answer": "dust", "confidence": 0.9, "class": "dust"},
    {"answer": "dust", "confidence": 0.8, "class": "crack"},
    {"answer": "stain", "confidence": 0.7, "class": "normal"},
    {"answer": "crack", "confidence": 0.6, "severity": "negligible", "note": "left alone"},
    {"answer": "dust", "confidence": 0.1, "class": "dust"},
]


def table(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    if path.suffix == ".json":
        path.write_text(json.dumps(ROWS), "utf-8")
    else:
        columns = ("answer", "confidence", "class", "severity", "note")
        lines = [",".join(str(row.get(c, "")) for c in columns) for row in ROWS]
        path.write_text("\n".join([",".join(columns), *lines]) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.json"])
def test_a_table_gives_every_sure_answer_its_truth(tmp_path: Path, name: str) -> None:
    collected = of_table(policy(), read_review_table(table(tmp_path, name)))
    assert [(a.class_name, a.is_defect) for a in collected.of_latest] == [
        ("dust", False),
        ("dust", True),
        ("stain", False),
        ("crack", False),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"answer": 1}', "expected a JSON list"),
        ("[", "not JSON"),
        ('[{"confidence": 1}]', "row 1: answer"),
        ('[{"answer": "dust"}]', "row 1: neither `class` nor `severity`"),
        ('[{"answer": "dust", "confidence": 2, "class": "dust"}]', "row 1: confidence"),
        ('[{"answer": "dust", "class": "dent"}]', "class 'dent' is not among"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "reviews.json"
    path.write_text(text, "utf-8")
    with pytest.raises(PolicyError, match=words):
        of_table(policy(), read_review_table(path))
