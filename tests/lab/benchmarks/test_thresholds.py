"""The threshold of a cascade's stage: accepts most, and keeps its promise on later parts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.benchmarks.thresholds import choose_threshold

NOTHING = float("inf")


def test_the_threshold_accepts_most_within_the_rate() -> None:
    confidences = [i / 100 for i in range(100)]
    correct = [c >= 0.4 for c in confidences]
    assert choose_threshold(confidences, correct, 0.1) == 0.35


def test_few_answers_promise_nothing() -> None:
    assert choose_threshold([0.9] * 18, [True] * 18, 0.05) == NOTHING
    assert choose_threshold([0.9] * 19, [True] * 19, 0.05) == 0.9
    assert choose_threshold([], [], 0.05) == NOTHING


def test_equal_confidences_stand_or_fall_together() -> None:
    found = choose_threshold([0.9] * 40 + [0.5] * 2, [True] * 30 + [False] * 10 + [True] * 2, 0.2)
    assert found == NOTHING


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="2 confidences but 1"):
        choose_threshold([0.1, 0.2], [True], 0.1)
    with pytest.raises(ValueError, match="error rate"):
        choose_threshold([0.1], [True], 1.5)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=80),
    st.floats(0, 1),
)
def test_the_rate_holds_on_the_calibration_data(
    answers: list[tuple[float, bool]], rate: float
) -> None:
    found = choose_threshold([c for c, _ in answers], [r for _, r in answers], rate)
    accepted = [right for c, right in answers if c >= found]
    if accepted:
        assert accepted.count(False) / len(accepted) <= rate


def test_the_rate_holds_on_later_parts() -> None:
    """Drawn anew 200 times: the mean error among accepted later parts is within the rate."""
    rng = random.Random(0)

    def draw(count: int) -> tuple[list[float], list[bool]]:
        confidences = [rng.random() for _ in range(count)]
        return confidences, [rng.random() < c for c in confidences]

    errors = []
    for _ in range(200):
        found = choose_threshold(*draw(60), 0.2)
        later = list(zip(*draw(400), strict=True))
        accepted = [right for c, right in later if c >= found]
        if accepted:
            errors.append(accepted.count(False) / len(accepted))
    assert sum(errors) / len(errors) <= 0.22
