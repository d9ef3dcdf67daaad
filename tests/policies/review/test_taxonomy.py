"""What the answers say of the classes: on made tables whose fault is known."""

import random

import pytest

from policies.review.taxonomy import (
    Audit,
    ClassNote,
    ConfusionPrices,
    LabelledAnswer,
    Similarity,
    audit,
)


def answers(table: dict[tuple[str, str], int]) -> list[LabelledAnswer]:
    return [
        LabelledAnswer(f"{truth}-{answer}-{n}", truth, answer)
        for (truth, answer), number in table.items()
        for n in range(number)
    ]


def audited(table: dict[tuple[str, str], int], **passes: bool) -> Audit:
    notes = {name: ClassNote(name, passes=value) for name, value in passes.items()}
    return audit(answers(table), notes, ConfusionPrices(escape=100.0, hold=2.0))


def test_classes_that_nobody_tells_apart_are_proposed_first() -> None:
    found = audited({
        ("side", "side"): 9, ("side", "top"): 11, ("top", "side"): 8, ("top", "top"): 12,
        ("head", "head"): 15, ("head", "neck"): 5, ("neck", "neck"): 20,
    })  # fmt: skip
    first, second = found.merges
    assert (first.first, first.second) == ("side", "top")
    assert (first.first_as_second, first.second_as_first) == (11, 8)
    assert (second.first, second.second) == ("head", "neck")
    assert first.score > 2 * second.score


def test_a_name_that_is_given_to_everything_is_no_reason_to_merge() -> None:
    """All classes are called dent equally often; only the hole is called pit besides."""
    table = {(name, "dent"): 8 for name in ("crack", "hole", "stain", "pit")}
    table |= {(name, name): 12 for name in ("crack", "stain", "pit")}
    table |= {("hole", "hole"): 7, ("hole", "pit"): 5, ("dent", "dent"): 20}
    found = audited(table)
    assert [(p.first, p.second) for p in found.merges] == [("hole", "pit")]


def test_a_class_that_is_swallowed_by_another_is_a_merge_whatever_its_size() -> None:
    found = audited({("a", "a"): 30, ("b", "a"): 6, ("c", "c"): 30})
    assert [(p.first, p.second) for p in found.merges] == [("a", "b")]
    assert found.never_answered == ("b",)


def test_across_the_border_nothing_is_merged_and_the_cost_ranks() -> None:
    table = {
        ("crack", "crack"): 10, ("crack", "stain"): 4, ("stain", "stain"): 10,
        ("hole", "hole"): 10, ("dust", "hole"): 9, ("dust", "dust"): 1,
    }  # fmt: skip
    found = audited(table, crack=False, stain=True, hole=False, dust=True)
    assert found.merges == ()
    dear, cheap = found.borders
    assert (dear.first, dear.second, dear.cost) == ("crack", "stain", 400.0)
    assert (cheap.first, cheap.second, cheap.cost) == ("dust", "hole", 18.0)


def test_of_two_equal_confusions_the_one_with_like_texts_comes_first() -> None:
    table = {(name, name): 10 for name in "abcd"}
    table |= {("a", "b"): 5, ("c", "d"): 5}
    texts = {
        "a": "small round hole", "b": "long thin scratch", "c": "torn weave with a gap",
        "d": "gap in the weave, torn",
    }  # fmt: skip
    notes = {name: ClassNote(name, description=text) for name, text in texts.items()}
    found = audit(answers(table), notes)
    assert [(p.first, p.second) for p in found.merges] == [("c", "d"), ("a", "b")]
    alike = Similarity(list(notes.values()))
    assert alike.of("c", "c") == pytest.approx(1.0)
    assert alike.of("a", "b") == 0.0
    assert Similarity([ClassNote("1"), ClassNote("2")]).of("1", "2") == 0.0


def test_a_class_of_several_kinds_is_named_with_them() -> None:
    found = audited({
        ("mixed", "mixed"): 3, ("mixed", "crack"): 6, ("mixed", "stain"): 5, ("mixed", "hole"): 1,
        ("crack", "crack"): 20, ("stain", "stain"): 20, ("hole", "hole"): 20,
    })  # fmt: skip
    (several,) = found.several
    assert (several.name, several.recognised) == ("mixed", 0.2)
    assert several.kinds == {"crack": 6, "stain": 5}


def test_a_lone_answer_across_well_told_classes_is_a_label_to_look_at() -> None:
    table = {("crack", "crack"): 20, ("crack", "hole"): 1, ("hole", "hole"): 20}
    found = audited(table | {("a", "b"): 8, ("a", "a"): 12, ("b", "b"): 20})
    (suspect,) = found.suspects
    assert (suspect.part, suspect.truth, suspect.looks_like) == ("crack-hole-0", "crack", "hole")
    assert 0.25 < suspect.probability < 1.0


def test_planted_wrong_labels_are_the_first_to_be_looked_at() -> None:
    """a and b are often confused; two parts of d are filed under a."""
    parts = answers({
        ("a", "a"): 16, ("a", "b"): 7, ("b", "b"): 18, ("b", "a"): 6,
        ("c", "c"): 24, ("d", "d"): 24,
    })  # fmt: skip
    wrong = [LabelledAnswer(f"wrong-{n}", "a", "d") for n in range(2)]
    found = audit(parts + wrong, {})
    assert {s.part for s in found.suspects} == {"wrong-0", "wrong-1"}


def test_confidences_tell_a_wrong_label_from_a_close_call() -> None:
    """Five parts a class, as of exemplars: their number alone would suspect nothing."""
    parts = answers({("a", "a"): 4, ("b", "b"): 5})
    close = LabelledAnswer("close", "a", "b", 0.5, 0.45)
    clear = LabelledAnswer("clear", "a", "b", 0.97, 0.01)
    assert audit([*parts, close], {}).suspects == ()
    assert [s.part for s in audit([*parts, clear], {}).suspects] == ["clear"]
    unstated = LabelledAnswer("unstated", "a", "b", 0.97)
    assert audit([*parts, unstated], {}).suspects == ()


def test_a_random_split_of_one_class_is_put_together_again() -> None:
    """A class that was divided at random: the answers cannot know which half is meant."""
    kept = 0
    for seed in range(40):
        rng = random.Random(seed)
        parts = []
        for name, other in (("p", "q"), ("q", "p"), ("r", "s"), ("s", "r"), ("t", "t")):
            for n in range(18):
                spoken = rng.choice((name, other)) if name in "pq" else name
                spoken = rng.choice("prst") if rng.random() < 0.25 else spoken
                parts.append(LabelledAnswer(f"{name}{n}", name, spoken))
        first = audit(parts, {}).merges[0]
        kept += (first.first, first.second) == ("p", "q")
    assert kept >= 38


def test_normal_unknown_and_foreign_answers_are_no_classes() -> None:
    found = audited({("a", "a"): 5, ("a", "normal"): 9, ("unknown", "a"): 9, ("a", "b."): 3})
    assert found.parts == 8
    assert found.merges == ()
    assert found.foreign == {"b.": 3}
    assert audit([], {}).merges == ()
