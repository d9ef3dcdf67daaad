"""Figures against naive implementations, and pixel AUROC against scikit-learn's."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lab.metrics import (
    MapTruth,
    binomial_interval,
    group_bootstrap,
    image_aupr,
    image_auroc,
    pixel_figures,
)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({truth for _, truth in rows}) == 2
    )
)
def test_auroc_is_the_chance_to_rank_an_anomalous_image_above_a_normal_one(
    rows: list[tuple[int, bool]],
) -> None:
    odd = np.array([score for score, truth in rows if truth])[:, None]
    good = np.array([score for score, truth in rows if not truth])[None]
    chance = (odd > good).mean() + 0.5 * (odd == good).mean()
    assert image_auroc(*zip(*rows, strict=True)) == pytest.approx(chance)


def test_average_precision_counts_tied_images_as_one_step() -> None:
    assert image_aupr([3, 2, 2, 1], [True, True, False, True]) == pytest.approx(
        (1 + 2 / 3 + 3 / 4) / 3
    )


def test_a_missing_class_has_no_figure() -> None:
    assert np.isnan(image_auroc([1, 2], [True, True]))
    assert np.isnan(image_aupr([1, 2], [False, False]))


def naive_aupro(items: list[MapTruth], limit: float) -> float:
    """Every distinct threshold, the curve by trapezoids, clipped at the limit."""
    regions, normal = [], []
    for item in items:
        mask = np.zeros(item.values.shape, bool) if item.mask is None else item.mask
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [item.values[labels == i] for i in range(1, count)]
        normal.append(item.values[~mask])
    negatives = np.concatenate(normal)
    cuts = np.unique(np.concatenate([i.values.ravel() for i in items]))[::-1]
    fpr = np.array([0.0] + [float((negatives >= c).mean()) for c in cuts])
    pro = np.array([0.0] + [float(np.mean([(r >= c).mean() for r in regions])) for c in cuts])
    kept = fpr <= limit
    x = np.append(fpr[kept], limit)
    y = np.append(
        pro[kept], np.interp(limit, fpr, pro) if not (fpr == limit).any() else pro[kept][-1]
    )
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / limit)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 40), st.sampled_from([0.05, 0.3, 1.0]))
def test_pixel_figures_agree_with_the_naive_ones(seed: int, levels: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    items = []
    for i in range(4):
        values = rng.integers(0, levels, (9, 11)).astype(np.float32)
        items.append(MapTruth(values, rng.random((9, 11)) < 0.15 if i else None))
    if not any(i.mask is not None and i.mask.any() for i in items):
        return
    found = pixel_figures(lambda: items, limit)
    truth = np.concatenate(
        [(np.zeros((9, 11), bool) if i.mask is None else i.mask).ravel() for i in items]
    )
    scores = np.concatenate([i.values.ravel() for i in items])
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores))
    assert found.aupro == pytest.approx(naive_aupro(items, limit), abs=1e-9)


def test_masks_without_an_anomalous_pixel_count_as_normal() -> None:
    empty = MapTruth(np.ones((4, 4), np.float32), np.zeros((4, 4), bool))
    assert np.isnan(pixel_figures(lambda: [empty]).aupro)
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = True
    values = np.zeros((4, 4), np.float32)
    values[0, 0] = 2
    assert pixel_figures(lambda: [empty, MapTruth(values, mask)]).aupro == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("hits", "total", "expected"),
    [(0, 10, (0.0, 0.3085)), (3, 10, (0.0667, 0.6525)), (10, 10, (0.6915, 1.0)), (0, 0, (0, 1))],
)
def test_clopper_pearson_as_tabulated(hits: int, total: int, expected: tuple[float, float]) -> None:
    assert binomial_interval(hits, total) == pytest.approx(expected, abs=1e-4)


def test_the_bootstrap_resamples_groups_and_not_images() -> None:
    values = np.repeat([0.0, 1.0], 50)
    by_part = group_bootstrap(values, ["a"] * 50 + ["b"] * 50)
    by_image = group_bootstrap(values, [str(i) for i in range(100)])
    assert by_part == (0.0, 1.0)
    assert by_image[1] - by_image[0] < 0.25
