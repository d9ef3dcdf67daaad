"""Certificates are given where they are earned, and seldom where they are not."""

import random

import pytest

from policies.review.certify import (
    ClassFinding,
    Promise,
    ReviewedAnswer,
    certify_each,
    certify_together,
)


def answers(
    name: str, harmless: int, defects: int, confidence: float = 0.9
) -> list[ReviewedAnswer]:
    return [ReviewedAnswer(name, confidence, i < defects) for i in range(harmless + defects)]


def one(found: tuple[ClassFinding, ...]) -> ClassFinding:
    (finding,) = found
    return finding


def test_fifty_nine_clean_reviews_certify_one_class_at_five_percent() -> None:
    finding = one(certify_each(answers("stain", 59, 0), ["stain"], Promise()))
    assert (finding.from_confidence, finding.reviews, finding.escapes) == (0.0, 59, 0)
    assert finding.bound <= 0.05
    assert finding.more_reviews == 0


def test_one_review_less_does_not_and_the_finding_says_how_many_are_missing() -> None:
    finding = one(certify_each(answers("stain", 58, 0), ["stain"], Promise()))
    assert not finding.certified
    assert finding.more_reviews == 1
    assert finding.bound > 0.05


def test_a_class_that_hides_defects_is_told_that_more_of_the_same_will_not_do() -> None:
    finding = one(certify_each(answers("stain", 90, 10), ["stain"], Promise()))
    assert not finding.certified
    assert finding.more_reviews is None


def test_several_classes_need_more_reviews_each_than_one_alone() -> None:
    both = answers("stain", 59, 0) + answers("dust", 59, 0)
    assert not any(f.certified for f in certify_each(both, ["stain", "dust"], Promise()))
    both = answers("stain", 72, 0) + answers("dust", 59, 0)
    found = {f.class_name: f.certified for f in certify_each(both, ["stain", "dust"], Promise())}
    assert found == {"stain": True, "dust": True}, "the first leaves its share to the second"


def test_defects_among_the_unsure_answers_leave_the_sure_ones_certified() -> None:
    sure = [ReviewedAnswer("stain", 0.8 + i / 1000, False) for i in range(150)]
    unsure = [ReviewedAnswer("stain", 0.3 + i / 1000, i % 4 == 0) for i in range(100)]
    finding = one(certify_each(sure + unsure, ["stain"], Promise()))
    assert finding.from_confidence is not None
    assert 0.3 < finding.from_confidence <= 0.9
    assert finding.bound <= 0.05


def test_a_class_without_a_review_is_not_certified() -> None:
    finding = one(certify_each([], ["stain"], Promise()))
    assert (finding.certified, finding.reviews, finding.bound) == (False, 0, 1.0)
    finding = one(certify_together([], ["stain"], Promise()))
    assert not finding.certified


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5])
def test_a_promise_of_nothing_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="escape is"):
        Promise(escape=value)
    with pytest.raises(ValueError, match="confidence is"):
        Promise(confidence=value)


def certified_wrongly(rng: random.Random, promise: Promise) -> bool:
    """Four classes at or beyond the limit, with confidences that say something of the defects."""
    drawn = []
    for number, rate in enumerate((0.1, 0.1, 0.12, 0.2)):
        for _ in range(rng.choice((60, 120, 250))):
            is_defect = rng.random() < rate
            drawn.append(ReviewedAnswer(str(number), rng.random(), is_defect))
    return any(f.certified for f in certify_each(drawn, "0123", promise))


def test_the_chance_that_any_class_is_certified_wrongly_is_bounded() -> None:
    rng, rounds = random.Random(3), 1500
    promise = Promise(escape=0.1, confidence=0.9)
    wrong = sum(certified_wrongly(rng, promise) for _ in range(rounds)) / rounds
    assert 0.0 < wrong <= 0.1 + 3 * (0.09 / rounds) ** 0.5


def plant(rng: random.Random, parts: int) -> list[ReviewedAnswer]:
    """Half of the parts are defects; 4, 8 and 14 % of these are called by a harmless name."""
    found = []
    for _ in range(parts):
        is_defect = rng.random() < 0.5
        names, weights = ("a", "b", "c", "x"), ((4, 8, 14, 74) if is_defect else (30, 30, 30, 10))
        found.append(ReviewedAnswer(rng.choices(names, weights)[0], 1.0, is_defect))
    return found


ESCAPES = {"a": 0.04, "b": 0.08, "c": 0.14}


@pytest.mark.parametrize("escape", [0.10, 0.13])
def test_the_classes_that_pass_together_keep_the_promise(escape: float) -> None:
    rng, rounds, promise = random.Random(5), 600, Promise(escape, 0.9)
    broken = passed = 0
    for number in range(rounds):
        found = certify_together(plant(rng, 400), "abc", promise, seed=number)
        names = [f.class_name for f in found if f.certified]
        broken += sum(ESCAPES[name] for name in names) > escape
        passed += len(names)
    assert broken / rounds <= 0.1 + 3 * (0.09 / rounds) ** 0.5
    assert passed > rounds / 2


def test_the_promise_about_the_defects_to_come_is_kept_on_them() -> None:
    rng, rounds, promise = random.Random(11), 600, Promise(0.10, 0.9)
    broken = 0
    for number in range(rounds):
        sample = plant(rng, 400)
        following = [answer for answer in plant(rng, 400) if answer.is_defect]
        found = certify_together(sample, "abc", promise, len(following), seed=number)
        names = {f.class_name for f in found if f.certified}
        share = sum(a.class_name in names for a in following) / len(following)
        broken += share > promise.escape
    assert broken / rounds <= 0.1 + 3 * (0.09 / rounds) ** 0.5


def test_the_same_reviews_give_the_same_certificate_in_any_process() -> None:
    sample = plant(random.Random(1), 600)
    first = certify_together(sample, "abc", Promise(0.1), seed=4)
    assert first == certify_together(sample, ["c", "b", "a"], Promise(0.1), seed=4)
