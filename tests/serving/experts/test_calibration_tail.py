"""The tail of ``Reference`` and the edges of ``calibrate``, by values worked out by hand."""

import numpy as np
import pytest

from serving.experts.calibration import Calibration, Reference, calibrate, exceeded_by, own_weight


def singles(scores: np.ndarray, rate: float) -> Calibration:
    """Each score is a part of its own."""
    return calibrate(scores, [str(i) for i in range(len(scores))], rate)


def test_the_reference_ranks_by_the_share_of_n_plus_one() -> None:
    reference = Reference.of(np.arange(99.0))
    assert reference.ranks[0] == pytest.approx(1 / 100)
    assert reference.ranks[-1] == pytest.approx(99 / 100)


def test_the_body_is_minus_the_log_of_the_empirical_p_value() -> None:
    reference = Reference.of(np.arange(99.0))
    at = reference.surprise(np.array([9.0, 49.0, 79.0]))
    assert at == pytest.approx(-np.log([0.9, 0.5, 0.2]))
    assert reference.surprise(np.array([-5.0]))[0] == pytest.approx(-np.log(0.99))


def test_the_body_never_says_less_than_a_tenth() -> None:
    """Just below the cut the empirical rank may lie beyond the tail's share."""
    values = np.concatenate([np.arange(90.0), np.full(9, 1000.0)])
    reference = Reference.of(values)
    inside = reference.surprise(np.array([np.nextafter(reference.cut, -np.inf)]))
    assert inside[0] <= -np.log(0.1) + 1e-12


def test_the_tail_begins_at_the_cut_where_the_body_ends() -> None:
    reference = Reference.of(np.arange(101.0))
    assert reference.cut == pytest.approx(90.0)
    at, above = reference.surprise(np.array([90.0, np.nextafter(90.0, 91.0)]))
    assert at == pytest.approx(-np.log(1 - 91 / 102)), "the cut itself belongs to the body"
    assert above == pytest.approx(-np.log(0.1)), "the tail begins with its share"


def test_the_excess_at_the_cut_counts() -> None:
    """101 values: the eleven from the 90th percentile on are fitted, the cut among them."""
    excess = np.arange(11.0)
    plotted = (np.arange(1, 12) - 0.35) / 11
    mean, weighted = excess.mean(), ((1 - plotted) * excess).mean()
    shape = max(2 - mean / (mean - 2 * weighted), 0.0)
    reference = Reference.of(np.arange(101.0))
    assert reference.shape == pytest.approx(shape)
    assert reference.scale == pytest.approx(mean * (1 - shape))


@pytest.mark.parametrize("shape", [0.0, 0.3, 0.6])
def test_the_fit_finds_the_shape_and_scale_that_the_tail_was_drawn_from(shape: float) -> None:
    """Exact quantiles of a generalised Pareto above a uniform body; the moments give it back."""
    count, scale = 4000, 2.0
    upper = (np.arange(1, count + 1) - 0.35) / count
    excess = -np.log1p(-upper) if shape == 0 else ((1 - upper) ** -shape - 1) / shape
    values = np.concatenate([np.linspace(-1, 0, 9 * count, endpoint=False), scale * excess])
    reference = Reference.of(values)
    assert reference.shape == pytest.approx(shape, abs=0.03)
    assert reference.scale == pytest.approx(scale, rel=0.05)
    far = reference.surprise(np.array([reference.cut + 10.0]))[0]
    expected = 10 / scale if shape == 0 else np.log1p(shape * 10 / scale) / shape
    assert far == pytest.approx(expected - np.log(0.1), rel=0.05)


def test_a_curved_tail_is_written_out() -> None:
    reference = Reference(np.array([0.0, 1.0]), np.array([1 / 3, 2 / 3]), 1.0, 0.5, 2.0)
    assert reference.surprise(np.array([5.0]))[0] == pytest.approx(
        np.log1p(0.5 * 2.0) / 0.5 - np.log(0.1)
    )
    straight = Reference(np.array([0.0, 1.0]), np.array([1 / 3, 2 / 3]), 1.0, 0.0, 2.0)
    assert straight.surprise(np.array([5.0]))[0] == pytest.approx(2.0 - np.log(0.1))


def test_a_tail_without_spread_stays_finite() -> None:
    """All values alike: no excess, and a part beyond is odder than any, not infinite."""
    reference = Reference.of(np.ones(50))
    assert 0 <= reference.shape <= 0.9
    assert reference.scale > 0
    beyond = reference.surprise(np.array([1.0, 2.0]))
    assert np.isfinite(beyond).all()
    assert beyond[1] > beyond[0]


def test_a_tail_lighter_than_exponential_has_shape_zero() -> None:
    values = np.concatenate([np.zeros(900), np.linspace(1, 2, 100)])
    assert Reference.of(values).shape == 0.0


def test_a_rate_that_is_attainable_warns_of_nothing() -> None:
    assert singles(np.arange(99.0), 0.05).warnings() == []
    exactly = singles(np.arange(19.0), 0.05)
    assert exactly.rate == exactly.asked_rate
    assert exactly.warnings() == []
    (said,) = singles(np.arange(9.0), 0.05).warnings()
    assert said.startswith("9 independent groups vouch for a rate of 0.1000")


def test_a_calibration_comes_back_as_it_was_described() -> None:
    found = calibrate(np.arange(30.0), [str(i // 3) for i in range(30)], 0.2)
    back = Calibration.restored(found.described(), found.tensors())
    assert (back.scores == found.scores).all()
    assert (back.weights == found.weights).all()
    stated = (found.asked_rate, found.rate, found.threshold, found.own_weight)
    assert (back.asked_rate, back.rate, back.threshold, back.own_weight) == stated
    assert found.own_weight < 1, "the default would not show that the weight was restored"
    earlier = {k: v for k, v in found.described().items() if k != "own_weight"}
    assert Calibration.restored(earlier, found.tensors()).own_weight == 1.0


def test_a_histogram_counts_each_part_once_whatever_its_photographs() -> None:
    found = calibrate(np.arange(30.0), [str(i // 3) for i in range(30)], 0.2)
    shown = found.histogram()
    parts = np.array(shown["parts"])
    assert parts.sum() == pytest.approx(10, abs=0.05)
    assert shown["first"] == 0.0
    assert shown["width"] * len(parts) == pytest.approx(29.0)
    flat = calibrate(np.ones(4), list("abcd"), 0.2).histogram()
    assert np.array(flat["parts"]).sum() == pytest.approx(4)


def test_thresholds_lie_between_scores_by_the_weight_above_them() -> None:
    ordered, weights = np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.0, 0.25])
    above = np.array([0.0, 0.25, 0.75, 1.25, 9.0])
    assert exceeded_by(ordered, weights, above) == pytest.approx(
        [4.0, 2.0, 1.5, 1.0, 1.0], abs=1e-6
    )


def test_a_threshold_at_a_score_errs_towards_stopping_less() -> None:
    """Rounding must not put the threshold above the score that may be reached."""
    ordered = np.arange(10.0)
    found = exceeded_by(ordered, np.ones(10), np.array([0.1 + 0.2, 3.0]))
    assert found[1] <= 6.0
    assert found[1] == pytest.approx(6.0, abs=1e-6)


def test_the_threshold_counts_the_new_part_by_its_own_weight() -> None:
    """Nine pairs of far apart photographs, a rate of .2: by the definition, recomputed here."""
    rng = np.random.default_rng(5)
    scores, names = rng.normal(size=60), [str(i // 2) for i in range(60)]
    found = calibrate(scores, names, 0.2)
    assert 0 < found.own_weight < 1
    above = 0.2 * (30 + found.own_weight) - found.own_weight
    weights = np.full(60, 0.5)
    assert found.threshold == exceeded_by(np.sort(scores), weights, np.array([above]))[0]


@pytest.mark.parametrize(("parts", "of_each"), [(2, 3), (9, 1)])
def test_too_few_parts_and_single_photographs_weigh_as_a_whole(parts: int, of_each: int) -> None:
    rng = np.random.default_rng(6)
    index = np.repeat(np.arange(parts), of_each)
    scores = np.sort(rng.normal(size=len(index)))
    assert own_weight(scores, index, np.full(parts, of_each), 0.3) == 1.0


def test_three_parts_are_enough_to_leave_one_out() -> None:
    """Each part's photographs spread over the same range: a new part brings nothing of its own."""
    index = np.tile(np.arange(3), 20)
    assert own_weight(np.arange(60.0), index, np.full(3, 20), 0.3) < 0.5


def test_a_score_at_a_cut_does_not_exceed_it() -> None:
    """Photographs that are all alike exceed no threshold made of their likes."""
    index = np.tile(np.arange(4), 5)
    assert own_weight(np.ones(20), index, np.full(4, 5), 0.2) == 0.0
