"""Naming as mathematics."""

import numpy as np
import pytest

from serving.naming import prototypes_model
from serving.naming.prototypes_model import KNOWN_SHARE, TEMPERATURES, PrototypeModel, fit


def cluster(direction: int, count: int, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed + direction)
    vectors = rng.normal(0, noise, (count, 32))
    vectors[:, direction] += 1
    return vectors.astype(np.float32)


def model_of(shots: int, noise: float = 0.1) -> PrototypeModel:
    vectors = np.concatenate([cluster(c, shots, noise) for c in range(3)])
    labels = [name for name in "abc" for _ in range(shots)]
    return fit(vectors, labels, [f"p{i}" for i in range(3 * shots)])


@pytest.mark.parametrize("shots", [1, 3, 5])
def test_names_what_looks_alike_and_refuses_what_does_not(shots: int) -> None:
    model = model_of(shots)
    for c, name in enumerate("abc"):
        for vector in cluster(c, 5, 0.1, seed=50):
            naming = model.name(vector)
            assert naming is not None
            assert naming.best == name
            assert naming.known > KNOWN_SHARE
    for stranger in cluster(9, 5, 0.1, seed=50):
        naming = model.name(stranger)
        assert naming is not None
        assert naming.known < KNOWN_SHARE


def test_probabilities_add_up_and_confidence_is_of_both_questions() -> None:
    naming = model_of(3).name(cluster(1, 1, 0.3, seed=7)[0])
    assert naming is not None
    assert sum(naming.probabilities.values()) == pytest.approx(1, abs=1e-5)
    both = naming.known * naming.probabilities[naming.best]
    assert naming.confidence == pytest.approx(both**naming.evening)


def test_only_the_classes_asked_for_are_answered() -> None:
    model = model_of(3)
    naming = model.name(cluster(0, 1, 0.1)[0], among={"b", "c"})
    assert naming is not None
    assert set(naming.probabilities) == {"b", "c"}
    assert model.name(cluster(0, 1, 0.1)[0], among={"z"}) is None


def test_scale_of_a_vector_does_not_matter() -> None:
    model, vector = model_of(3), cluster(2, 1, 0.2)[0]
    one, other = model.name(vector), model.name(vector * 1000)
    assert one is not None
    assert other is not None
    assert one.confidence == pytest.approx(other.confidence, rel=1e-4)


def test_noisier_examples_give_a_softer_answer() -> None:
    sharp, soft = model_of(8, noise=0.05), model_of(8, noise=0.6)
    assert sharp.temperature < soft.temperature
    assert min(TEMPERATURES) <= sharp.temperature <= soft.temperature <= max(TEMPERATURES)


def test_pictures_of_one_part_never_vouch_for_each_other() -> None:
    vectors = np.concatenate([cluster(c, 4, 0.1) for c in range(2)])
    labels = ["a"] * 4 + ["b"] * 4
    one_part = fit(vectors, labels, ["p"] * 4 + ["q"] * 4)
    alone = fit(vectors[[0, 4]], ["a", "b"], ["p", "q"])
    many_parts = fit(vectors, labels, [str(i) for i in range(8)])
    assert one_part.temperature == alone.temperature
    assert many_parts.floor != one_part.floor


def test_one_class_alone_can_still_say_unknown() -> None:
    model = fit(cluster(0, 3, 0.1), ["a"] * 3, ["p", "q", "r"])
    near, far = model.name(cluster(0, 1, 0.1, seed=9)[0]), model.name(cluster(5, 1, 0.1)[0])
    assert near is not None
    assert far is not None
    assert near.known > KNOWN_SHARE > far.known


def test_a_vector_of_zeros_is_unknown() -> None:
    naming = model_of(3).name(np.zeros(32, np.float32))
    assert naming is not None
    assert naming.known < KNOWN_SHARE


def test_a_class_of_two_looks_is_known_by_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of two looks is like neither; a third class lies nearer than that mean."""
    looks = np.concatenate([cluster(0, 3, 0.02), cluster(1, 3, 0.02)])
    labels = ["a"] * 6 + ["b"] * 6
    groups = [str(i) for i in range(12)]
    model = fit(np.concatenate([looks, cluster(2, 6, 0.02)]), labels, groups)
    between = cluster(0, 1, 0.0)[0] + 0.75 * cluster(2, 1, 0.0)[0]
    named = model.name(between)
    monkeypatch.setattr(prototypes_model, "NEAREST_SHARE", 0.0)
    by_means = model.name(between)
    assert named is not None
    assert by_means is not None
    assert (named.best, by_means.best) == ("a", "b")


def test_more_examples_even_the_confidence_out() -> None:
    """A single example is taken at its word; from five on the full correction holds."""
    vector = cluster(1, 1, 0.3, seed=7)[0]
    found = [model_of(shots).name(vector) for shots in (1, 5, 9)]
    evening = [n.evening for n in found if n is not None]
    assert evening[0] > evening[1] == evening[2] == 0.5
