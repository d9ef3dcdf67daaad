"""Attribute agreement: AIAG's and other published examples, an oracle, and what is not defined."""

import random
from collections.abc import Sequence

import pytest
from sklearn.metrics import cohen_kappa_score

from policies.review.agreement import Trial, appraise, cohen_kappa, fleiss_kappa


def table(both_bad: int, said_bad: int, said_good: int, both_good: int) -> list[list[Trial]]:
    """Runs of a cross table; each is a part of its own."""
    cells = ((False, False), (False, True), (True, False), (True, True))
    counts = (both_bad, said_bad, said_good, both_good)
    trials = [c for c, n in zip(cells, counts, strict=True) for _ in range(n)]
    return [[Trial(str(i), said, true)] for i, (said, true) in enumerate(trials)]


@pytest.mark.parametrize(
    ("cells", "kappa"),
    [
        ((45, 5, 3, 97), 0.88),
        ((45, 2, 3, 100), 0.92),
        ((42, 9, 6, 93), 0.77),
        ((44, 6, 3, 97), 0.86),
    ],
)
def test_cohens_kappa_of_the_attribute_study_in_aiags_manual(
    cells: tuple[int, int, int, int], kappa: float
) -> None:
    """MSA, 4th edition: appraisers A, B and C against the reference, and A against B."""
    assert cohen_kappa(table(*cells)) == pytest.approx(kappa, abs=0.005)


def test_fleiss_kappa_of_a_worked_example() -> None:
    """Five parts, four runs: agreement 1, .5, 1/3, .5, 1; accepted .55 of the time."""
    parts = runs([4, 3, 2, 1, 0])
    observed, accepted = (1 + 0.5 + 1 / 3 + 0.5 + 1) / 5, 0.5
    chance = accepted**2 + (1 - accepted) ** 2
    assert fleiss_kappa(parts) == pytest.approx((observed - chance) / (1 - chance))


def runs(accepted: Sequence[int], of: int = 4) -> list[list[Trial]]:
    return [[Trial(str(i), n < k, None) for n in range(of)] for i, k in enumerate(accepted)]


def test_two_runs_a_part_are_scotts_pi_and_near_cohens_kappa_of_another_library() -> None:
    chance = random.Random(3)
    pairs = [(s, s if chance.random() < 0.9 else not s) for s in [True, False] * 200]
    trials = [[Trial(str(i), a, b)] for i, (a, b) in enumerate(pairs)]
    oracle = cohen_kappa_score([a for a, _ in pairs], [b for _, b in pairs])
    assert cohen_kappa(trials) == pytest.approx(oracle)
    twice = [[Trial(str(i), s, None) for s in pair] for i, pair in enumerate(pairs)]
    assert fleiss_kappa(twice) == pytest.approx(oracle, abs=0.005)


def test_the_interval_of_kappa_is_that_of_its_large_sample_error() -> None:
    """Fleiss, Cohen and Everitt (1969) for A of AIAG's study, whose runs are taken as parts."""
    trials = [trial for part in table(45, 5, 3, 97) for trial in part]
    (found,) = appraise(trials)
    kappa = found.reference.kappa
    assert kappa is not None
    assert kappa.low is not None
    assert kappa.high is not None
    n, chance, agreed = 150, 0.56, 142 / 150
    rows, columns = (50 / n, 100 / n), (48 / n, 102 / n)
    cells = ((45 / n, 5 / n), (3 / n, 97 / n))
    a = sum(cells[i][i] * (1 - (rows[i] + columns[i]) * (1 - kappa.value)) ** 2 for i in (0, 1))
    b = (1 - kappa.value) ** 2 * sum(
        cells[i][1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1)
    )
    c = (kappa.value - chance * (1 - kappa.value)) ** 2
    error = ((a + b - c) / n) ** 0.5 / (1 - chance)
    assert agreed == found.reference.share
    assert kappa.low == pytest.approx(kappa.value - 1.96 * error, abs=0.01)
    assert kappa.high == pytest.approx(min(1.0, kappa.value + 1.96 * error), abs=0.01)


def test_an_appraiser_is_told_from_all_together() -> None:
    """Each agrees with itself; together they differ on one part of three."""
    said = {"top": (True, True, False), "side": (True, False, False)}
    truth = (True, True, False)
    trials = [
        Trial(str(part), accepted, truth[part], name)
        for name, verdicts in said.items()
        for part, accepted in enumerate(verdicts)
        for _ in range(2)
    ]
    side, top, both = appraise(trials)
    assert (side.appraiser, top.appraiser, both.appraiser) == ("side", "top", "all")
    assert (side.repeated.agreed, top.repeated.agreed, both.repeated.agreed) == (3, 3, 2)
    assert (side.reference.agreed, top.reference.agreed) == (2, 3)
    assert (side.false_alarms, side.of_good, side.missed, side.of_bad) == (2, 4, 0, 2)
    assert top.reference.kappa is not None
    assert (top.reference.kappa.value, top.reference.kappa.low) == (1.0, None)


def test_effectiveness_has_the_interval_of_the_manual() -> None:
    """42 of 50 parts of appraiser A: 71 to 93 %."""
    trials = [Trial(str(n), n >= 8, True) for n in range(50) for _ in range(3)]
    (found,) = appraise(trials)
    assert found.reference.share == pytest.approx(0.84)
    assert (round(found.reference.low, 2), round(found.reference.high, 2)) == (0.71, 0.93)
    assert found.reference.kappa is not None  # all are good: chance says nothing
    assert found.reference.kappa.value == 0.0


def test_where_kappa_is_not_defined_it_is_not_given() -> None:
    assert appraise([]) == ()
    (once,) = appraise([Trial("1", True, True)])
    assert (once.repeated.parts, once.repeated.share, once.repeated.kappa) == (0, None, None)
    assert once.reference.kappa is None
