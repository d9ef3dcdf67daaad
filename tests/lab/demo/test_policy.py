"""The policy that the demo makes for a data set without one."""

import pytest

from lab.demo.policy import hold_all_classes
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from streams.codes import Action, Severity
from streams.events import Classification, Inspection
from streams.ports import Situation


def seen(anomalous: bool) -> Inspection:
    return Inspection(
        score=3.0, threshold=2.0, p_value=0.01, anomalous=anomalous, expert_version="e"
    )


def test_hold_all_classes_holds_all_but_normal_frames() -> None:
    policy = ResolvedPolicy.from_body(hold_all_classes("p", ["Blow hole", "crack_2"]))
    answer = Classification(class_name="Blow hole", confidence=0.9, classifier="test")
    found = policy.decide(Situation(inspection=seen(anomalous=True), classification=answer))
    assert (found.action, found.severity) == (Action.HOLD, Severity.DEFECT)
    assert policy.decide(Situation(inspection=seen(anomalous=False))).action is Action.PASS
    assert [c.display_name for c in policy.texts("").classes] == ["Blow hole", "crack 2"]


@pytest.mark.parametrize(
    "word",
    ["a\nb", "\x1b[2J", "\u202etxt", "x" * 512, ""],
)
def test_a_folder_that_cannot_name_a_class_is_refused(word: str) -> None:
    with pytest.raises(PolicyError, match="rename the folder"):
        hold_all_classes("p", [word])
    with pytest.raises(PolicyError, match="rename the folder"):
        hold_all_classes("p", ["unknown"])


@pytest.mark.parametrize("word", ["'; DROP TABLE decision; --", "{{ 7 * 7 }}", "AB/12 ö"])
def test_any_other_text_names_a_class(word: str) -> None:
    policy = ResolvedPolicy.from_body(hold_all_classes(word, [word]))
    answer = Classification(class_name=word, confidence=0.9, classifier="test")
    found = policy.decide(Situation(inspection=seen(anomalous=True), classification=answer))
    assert (found.action, found.class_name) == (Action.HOLD, word)
