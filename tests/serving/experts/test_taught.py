"""How the taught head's surprise and the other heads' become one."""

import numpy as np
import pytest

from serving.experts.calibration import Reference, Scores
from serving.experts.taught import add_taught


@pytest.fixture(scope="module")
def others() -> Reference:
    """Held-out normals whose surprise is what it says."""
    return Reference.of(np.sort(np.random.default_rng(0).exponential(size=20000)))


def bounded(fused: Scores, surprise: float, others: Reference) -> Scores:
    return add_taught(fused, np.full(len(fused), surprise), "bounded", others)


def test_without_evidence_the_other_heads_rank_as_before(others: Reference) -> None:
    fused = np.linspace(0.1, 12, 200)
    for surprise in (0.0, 3.9):
        assert np.all(np.diff(bounded(fused, surprise, others)) > 0)
    np.testing.assert_array_equal(bounded(fused, 0.0, others), bounded(fused, 3.9, others))


def test_an_odd_normal_weighs_less_than_a_defect_that_was_taught(others: Reference) -> None:
    odd = bounded(np.array([9.0]), 1.0, others)
    known = bounded(np.array([1.0]), 5.5, others)
    assert known > odd
    assert add_taught(np.array([9.0]), np.array([1.0]), "full") > add_taught(
        np.array([1.0]), np.array([5.5]), "full"
    )


def test_one_in_fifty_normals_is_raised_at_most(others: Reference) -> None:
    rng = np.random.default_rng(1)
    fused, surprise = rng.exponential(size=(2, 20000))
    raised = add_taught(fused, surprise, "bounded", others) > bounded(fused, 0.0, others)
    assert raised.mean() == pytest.approx(0.02, abs=0.004)
