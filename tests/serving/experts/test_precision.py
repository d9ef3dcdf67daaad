"""What a reduced precision must show before it is chosen by itself."""

import numpy as np

from serving.experts.precision import agrees, compare_precisions

RNG = np.random.default_rng(3)
NORMAL, ODD = RNG.exponential(1.0, 200) + 1, RNG.exponential(1.0, 100) + 9
THRESHOLD = float(np.quantile(NORMAL, 0.97))


def test_rounding_agrees() -> None:
    found = compare_precisions((NORMAL, ODD), (NORMAL * 1.001, ODD * 0.999), THRESHOLD)
    assert agrees(found)
    assert found["images"] == 300
    low, high = found["auroc_change_interval"]
    assert low <= found["auroc_change"] <= high


def test_a_shift_of_some_normals_over_the_threshold_does_not() -> None:
    """Found on textiles: ranking and most scores alike, yet a quarter of the good parts held."""
    shifted = NORMAL.copy()
    shifted[::8] = THRESHOLD + 0.1
    found = compare_precisions((NORMAL, ODD), (shifted, ODD), THRESHOLD)
    assert abs(found["auroc_change"]) < 0.005
    assert found["score_deviation_median"] == 0
    assert found["false_alarms"] > 3 * found["false_alarms_f32"]
    assert not agrees(found)


def test_other_ranks_do_not() -> None:
    assert not agrees(compare_precisions((NORMAL, ODD), (NORMAL, ODD - 7), THRESHOLD))


def test_what_was_not_measured_does_not() -> None:
    assert not agrees({"measured": False, "why": "no OpenVINO"})
    assert not agrees({})


def test_an_expert_with_small_scores_is_judged_alike() -> None:
    """Distances of a thousandth, as DDAD's, must not hide behind a floor made for surprises."""
    rough = (NORMAL * 0.95, ODD * 0.95)
    small = compare_precisions(
        (NORMAL / 1e3, ODD / 1e3), (rough[0] / 1e3, rough[1] / 1e3), THRESHOLD / 1e3
    )
    assert abs(small["score_deviation_median"] - 0.05) < 1e-9
    assert not agrees(small)
