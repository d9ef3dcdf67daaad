"""What watches the line less than before is named with what lets parts pass."""

import pytest

from policies.authoring.loading import check_text
from policies.evaluate import ResolvedPolicy
from policies.review.softening import softenings

OLD = """\
product: p
audit_share: 0.02
second_review: 0.1
classes:
  crack: {severity: defect, action: hold}
  dust: {severity: negligible, action: pass}
limits:
  row: {more_than: 3, in_parts: 50, classes: [crack], stop: true}
golden:
  G-1: {action: [hold, scrap], severity: defect}
auto_pass: certified
certificate:
  {escape: 0.02, confidence: 0.95, issued: "2026-11-01", decides: DECIDES, expert_version: one,
   classifier: knn, exemplars_version: abc, classes: {dust: {reviews: 300, bound: 0.01}}}
""".replace("DECIDES", "0" * 64)


def policy(text: str) -> ResolvedPolicy:
    report = check_text(text)
    assert report.policy is not None, [str(problem) for problem in report.errors]
    return report.policy


def named(old: str, new: str) -> list[str]:
    return [str(one) for one in softenings(policy(old), policy(new))]


@pytest.mark.parametrize(
    ("was", "will", "found"),
    [
        ("audit_share: 0.02", "audit_share: 0.01", "audit_share: 0.02 -> 0.01"),
        ("audit_share: 0.02\n", "", "audit_share: 0.02 -> 0"),
        ("second_review: 0.1", "second_review: 0", "second_review: 0.1 -> 0"),
        ("second_review: 0.1\n", "", "second_review: 0.1 -> the console's"),
        (
            "more_than: 3",
            "more_than: 4",
            "limit row: over 3 in 50 of crack, stops the line -> over 4 in 50 of crack",
        ),
        ("in_parts: 50", "in_parts: 40", "limit row: "),
        ("[crack], stop", "[dust], stop", "limit row: "),
        ("stop: true", "stop: false", "limit row: "),
        ("stop: true", "stop: true, each_class: true", "limit row: "),
        ("stop: true", "stop: true, action: [scrap]", "limit row: "),
        ("  row: ", "  other: {more_than: 1, in_parts: 9}\n  row2: ", None),
        ("G-1", "G-2", "golden G-1: hold, scrap as defect -> none"),
        ("[hold, scrap]", "[hold, scrap, pass]", "golden G-1: hold, scrap as defect -> hold, "),
        (", severity: defect}\nauto", "}\nauto", "golden G-1: hold, scrap as defect -> hold"),
        ("severity: defect, action: hold", "severity: negligible, action: hold", "crack as found"),
        ("expert_version: one", "expert_version: two", "certificate for another expert version: "),
        ("version: abc", "version: abd", "certificate for another exemplars version: abc -> abd"),
        ("audit_share: 0.02", "audit_share: 0.03", None),
        ("second_review: 0.1", "second_review: 0.2", None),
        ("more_than: 3", "more_than: 2", None),
        ("classes: [crack], ", "", None),
        ("[hold, scrap]", "[scrap]", None),
        ("golden:\n", "golden:\n  G-0: {action: [pass]}\n", None),
    ],
)  # fmt: skip
def test_a_change_of_what_watches(was: str, will: str, found: str | None) -> None:
    assert was in OLD
    said = named(OLD, OLD.replace(was, will, 1))
    assert len(said) == (found is not None), said
    assert not said or said[0].startswith(str(found))


def test_who_had_no_share_of_second_looks_has_the_consoles() -> None:
    without = OLD.replace("second_review: 0.1\n", "")
    assert named(without, OLD) == ["second_review: the console's -> 0.1"]
    assert named(without, OLD.replace("second_review: 0.1", "second_review: 1")) == []
    assert named(OLD.replace("second_review: 0.1", "second_review: 0"), without) == []
