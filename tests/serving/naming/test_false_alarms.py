"""The pair's p-value on made-up vectors: it keeps its promise, and sees defects that differ."""

import numpy as np
import pytest

from serving.naming.false_alarms import FalseAlarms, Gate
from tests.serving.naming.small_sets import draws

DIMENSIONS = 12
SENT = 0.2


def vectors(count: int, shift: float, rng: np.random.Generator) -> np.ndarray:
    """Points about a direction that all share; defects lie ``shift`` along another one."""
    found = rng.normal(size=(count, DIMENSIONS))
    found[:, 0] += 3
    found[:, 1] += shift
    return found.astype(np.float32)


def learned(parts: int = 400, seed: int = 0, weight: float = 1.0) -> FalseAlarms | None:
    """From normals whose scores are standard normal; the oddest fifth was sent."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(size=parts))
    sent = scores[-round(SENT * parts) :]
    gate = Gate("expert", parts, tuple(scores.tolist()))
    groups = [f"part {i}" for i in range(len(sent))]
    return FalseAlarms.learn(
        gate,
        vectors(12, 4.0, rng),
        vectors(len(sent), 0.0, rng),
        sent.tolist(),
        [weight] * len(sent),
        groups,
    )


@pytest.mark.parametrize("stop_rate", [0.03, 0.05, 0.1])
def test_no_more_normals_than_promised_are_stopped(stop_rate: float) -> None:
    stopped = []
    for seed in range(5):
        alarms = learned(seed=seed)
        assert alarms is not None
        rng = np.random.default_rng(100 + seed)
        scores, looks = rng.normal(size=2000), vectors(2000, 0.0, rng)
        limit = np.quantile(rng.normal(size=20_000), 1 - SENT)
        stopped += [
            score > limit and alarms.p_value(float(score), look) <= stop_rate
            for score, look in zip(scores, looks, strict=True)
        ]
    assert np.mean(stopped) <= stop_rate + 0.012
    assert np.mean(stopped) >= stop_rate / 2


def test_a_defect_that_hardly_passes_the_gate_is_stopped_for_its_looks() -> None:
    alarms = learned()
    assert alarms is not None
    rng = np.random.default_rng(9)
    faint = 1.2  # sent, like one normal part in nine
    defects = [alarms.p_value(faint, look) <= 0.05 for look in vectors(200, 4.0, rng)]
    normals = [alarms.p_value(faint, look) <= 0.05 for look in vectors(200, 0.0, rng)]
    assert np.mean(defects) > np.mean(normals) + 0.5


def test_what_is_odd_enough_is_stopped_whatever_it_looks_like() -> None:
    alarms = learned()
    assert alarms is not None
    rng = np.random.default_rng(10)
    assert all(alarms.p_value(12.0, look) <= 0.03 for look in vectors(50, -4.0, rng))


def test_few_parts_do_not_let_pass_what_is_odder_than_all_of_them() -> None:
    alarms = learned(parts=60)
    assert alarms is not None
    look = vectors(1, 6.0, np.random.default_rng(4))[0]
    assert alarms.p_value(9.0, look) < 0.001 < 1 / 61


def test_normals_that_stand_for_several_parts_weigh_as_much() -> None:
    one, two = learned(), learned(weight=2.0)
    assert one is not None
    assert two is not None
    look = vectors(1, 1.0, np.random.default_rng(3))[0]
    above = one.p_value(1.5, look) * (400 + one.own_weight) - one.own_weight
    twice = (2 * above + two.own_weight) / (400 + two.own_weight)
    assert two.p_value(1.5, look) == pytest.approx(min(1.0, twice))


def photographed(alike: float, seed: int, parts: int = 80, each: int = 5) -> FalseAlarms:
    """Several photographs of each part; ``alike`` is the share of the variance between parts."""
    rng = np.random.default_rng(seed)
    scores, looks = photographs(alike, parts, each, rng)
    gate = Gate("expert", parts, tuple(np.sort(scores).tolist()))
    sent = scores > np.quantile(scores, 1 - SENT)
    groups = np.repeat([f"part {i}" for i in range(parts)], each)
    found = FalseAlarms.learn(
        gate,
        vectors(12, 4.0, np.random.default_rng(77)),
        looks[sent],
        scores[sent].tolist(),
        [1 / each] * int(sent.sum()),
        groups[sent].tolist(),
    )
    assert found is not None
    return found


def photographs(
    alike: float, parts: int, each: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n,) and vectors (n, d) of photographs, part by part."""
    own = rng.normal(size=parts * each)
    scores = np.sqrt(alike) * np.repeat(rng.normal(size=parts), each) + np.sqrt(1 - alike) * own
    apart = vectors(parts * each, 0.0, rng)
    common = np.repeat(vectors(parts, 0.0, rng), each, axis=0)
    looks = np.sqrt(alike) * common + np.sqrt(1 - alike) * apart
    return scores, looks.astype(np.float32)


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.95])
def test_as_many_normals_are_stopped_as_may_be_however_alike_a_part_s_photographs_are(
    alike: float,
) -> None:
    stopped = []
    for seed in range(30):
        alarms = photographed(alike, seed)
        scores, looks = photographs(alike, 200, 1, np.random.default_rng(1000 + seed))
        limit = 0.84
        stopped += [
            score > limit and alarms.p_value(float(score), look) <= 0.05
            for score, look in zip(scores, looks, strict=True)
        ]
    assert 0.042 < np.mean(stopped) < 0.06


def test_of_few_parts_the_rate_holds_as_a_mean_over_draws() -> None:
    """One draw of 60 parts may be far off: see ``small_sets``."""
    assert 0.04 < np.mean(draws(60, 200, unseen=200)) < 0.065


def test_few_parts_calibrate_nothing() -> None:
    assert learned(parts=30) is None
    gate = Gate("expert", 30, (0.0, 1.0))
    none = np.empty((0, DIMENSIONS), np.float32)
    rng = np.random.default_rng(0)
    normals = vectors(20, 0.0, rng)
    groups = [str(i) for i in range(20)]
    assert FalseAlarms.learn(gate, none, normals, [1.0] * 20, [1.0] * 20, groups) is None


def stained(count: int, rng: np.random.Generator) -> np.ndarray:
    """Normal parts that look much like the defects, and differ along a direction of their own."""
    found = vectors(count, 2.5, rng)
    found[:, 2] += 4
    return found


def with_reviewed(seed: int, count: int) -> FalseAlarms:
    """The same normals as ``learned``, and reviewed false alarms."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(size=400))
    sent = scores[-80:]
    looks = np.concatenate([vectors(80, 0.0, rng), stained(count, rng)])
    learned = FalseAlarms.learn(
        Gate("expert", 400, tuple(scores.tolist())),
        vectors(12, 4.0, np.random.default_rng(77)),
        looks,
        [*sent.tolist(), *[2.0] * count],
        [1.0] * 80 + [0.0] * count,
        [f"part {i}" for i in range(80 + count)],
    )
    assert learned is not None
    return learned


def test_reviewed_false_alarms_say_what_one_looks_like_and_calibrate_nothing() -> None:
    before, after = with_reviewed(0, 0), with_reviewed(0, 60)
    assert len(after.scores) == len(before.scores) == 80
    assert after.weights.sum() == 80
    rng = np.random.default_rng(11)
    alike = stained(300, rng)
    stopped = [np.mean([a.p_value(1.2, v) <= 0.05 for v in alike]) for a in (before, after)]
    assert stopped[1] < stopped[0] - 0.1


def test_reviewed_false_alarms_alone_calibrate_nothing() -> None:
    gate = Gate("expert", 40, tuple(np.linspace(0, 1, 40)))
    rng = np.random.default_rng(0)
    groups = [str(i) for i in range(20)]
    given = (vectors(5, 4.0, rng), vectors(20, 0.0, rng), [1.0] * 20, [0.0] * 20, groups)
    assert FalseAlarms.learn(gate, *given) is None
