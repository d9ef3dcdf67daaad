"""Which exemplars give each direction, and which may judge an exemplar."""

import numpy as np

from serving.experts.mixtures import Mixtures

CLASSES = ["dent", "dent", "dent", "spot", "spot", "line"]
PARTS = ["a", "b", "b", "b", "c", "d"]
MIXED = Mixtures.of(CLASSES, PARTS)


def given_by(usable: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(row)) for row in MIXED.weights[usable]]


def test_the_expert_has_each_exemplar_and_each_class_of_several() -> None:
    own = given_by(np.arange(len(MIXED.weights)) < MIXED.kept)
    assert own == [{0}, {1}, {2}, {3}, {4}, {5}, {0, 1, 2}, {3, 4}]
    np.testing.assert_allclose(MIXED.weights.sum(axis=1), 1)


def test_a_part_is_judged_by_what_it_gave_nothing_to() -> None:
    shown = np.array(PARTS)
    for part in sorted(set(PARTS)):
        for members in given_by(MIXED.without_part(shown == part, part)):
            assert not {PARTS[i] for i in members} & {part}
    assert {1, 2} in given_by(MIXED.without_part(shown == "a", "a"))


def test_a_class_that_is_left_out_is_judged_by_the_other_classes_alone() -> None:
    named = np.array(CLASSES)
    assert given_by(MIXED.without(named == "dent")) == [{3}, {4}, {5}, {3, 4}]


def test_a_single_exemplar_is_judged_by_nothing() -> None:
    alone = Mixtures.of(["dent"], [""])
    assert alone.kept == 1
    assert not alone.without_part(np.array([True]), "").any()
