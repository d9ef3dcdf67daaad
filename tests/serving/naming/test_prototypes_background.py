"""What is normal, per cell; regions as weights."""

import numpy as np
import pytest
import torch

from serving.experts.heads.search import smallest_squared, squared_norms
from serving.naming.background import FEWEST_FOR_MAP, Background, nearest_distances
from serving.naming.describing import AGREEMENT, CELLS, describe_picture, region_cells
from serving.naming.features import (
    NAMING_LAYERS,
    SCALES,
    coverage,
    grey_percentiles,
    normalise_exposure,
    one,
)
from tests.serving.naming.pictures import plate

LAYERS = [f"{size}/{layer}" for size, layers in SCALES.items() for layer in layers]
SIDES = {"512/stage3": 32, "512/stage4": 32, "512/stage5": 16, "256/stage5": 8}


def features(count: int, seed: int) -> dict[str, np.ndarray]:
    """Noise around a pattern that depends on the place."""
    rng = np.random.default_rng(seed)
    found = {}
    for layer in LAYERS:
        side = SIDES[layer]
        pattern = np.random.default_rng(side).normal(size=(40, side, side))
        found[layer] = (pattern + rng.normal(0, 0.2, (count, 40, side, side))).astype(np.float32)
    return found


def test_odd_cells_are_where_the_picture_differs() -> None:
    background = Background.learn(features(24, 1), [str(i) for i in range(24)])
    query = one(features(1, 2), 0)
    for layer in ("512/stage3", "512/stage4"):
        query[layer][:, 10:14, 20:24] += 3.0
    odd = background.odd_cells(query)
    assert odd is not None
    assert odd[10:14, 20:24].all()
    assert odd.mean() < 0.1


def test_a_normal_picture_still_gives_its_oddest_cell() -> None:
    background = Background.learn(features(24, 1), [str(i) for i in range(24)])
    odd = background.odd_cells(one(features(1, 3), 0))
    assert odd is not None
    assert 0 < odd.mean() < 0.05


def test_the_deviation_of_a_normal_picture_is_small() -> None:
    background = Background.learn(features(24, 1), [str(i) for i in range(24)])
    query = one(features(1, 4), 0)
    normal = background.deviation(query)
    query["512/stage5"][:, 3, 3] += 5
    spoiled = background.deviation(query)
    assert np.abs(spoiled["512/stage5"][:, 3, 3]).mean() > 4 * np.abs(normal["512/stage5"]).mean()
    assert np.array_equal(spoiled["256/stage5"], normal["256/stage5"])


def test_a_picture_is_not_compared_with_those_of_its_own_part() -> None:
    """A normal picture of the background is as odd as one that it never saw."""
    known = features(24, 1)
    background = Background.learn(known, [str(i) for i in range(24)])
    own, fresh = one(known, 5), one(features(1, 9), 0)
    alike = np.abs(background.deviation(own)["512/stage5"]).mean()
    apart = np.abs(background.deviation(own, "5")["512/stage5"]).mean()
    unseen = np.abs(background.deviation(fresh)["512/stage5"]).mean()
    assert alike < 0.95 * apart
    assert apart == pytest.approx(unseen, rel=0.05)


def test_what_differs_among_normal_parts_counts_for_less() -> None:
    known = features(24, 1)
    known["512/stage5"][:, 7] += np.random.default_rng(3).normal(0, 3, (24, 1, 1))
    background = Background.learn(known, [str(i) for i in range(24)])
    weights = np.diag(background.whitening["512/stage5"])
    scaled = weights / background.scale["512/stage5"][:, 0, 0]
    assert scaled[7] < 0.5 * np.median(scaled)


def test_few_parts_give_no_map() -> None:
    count = 2 * FEWEST_FOR_MAP
    one_part_less = [str(i % (FEWEST_FOR_MAP - 1)) for i in range(count)]
    background = Background.learn(features(count, 1), one_part_less)
    assert background.odd_cells(one(features(1, 2), 0)) is None


def test_without_normals_the_rest_of_the_picture_stands_in() -> None:
    query = one(features(1, 2), 0)
    mask = np.zeros((64, 64), np.bool_)
    mask[8:24, 8:24] = True
    vector = describe_picture(query, mask, None, refine=True)
    assert vector.shape == (40 * len(NAMING_LAYERS),)
    assert np.isfinite(vector).all()
    everywhere = describe_picture(query, np.ones((64, 64), np.bool_), None, refine=True)
    assert np.isfinite(everywhere).all()


def test_region_cells_hold_the_mask_or_the_odd_cells() -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[:32, :32] = True
    odd = np.zeros((32, 32), np.bool_)
    odd[20, 20] = True
    drawn, refined = region_cells(mask, None), region_cells(mask, odd)
    assert drawn.shape == (CELLS, CELLS)
    assert drawn[:16, :16].min() == 1
    assert drawn.sum() == pytest.approx(256)
    assert refined[20, 20] > refined[0, 0] > refined[31, 0] == 0


def test_a_mask_that_covers_nothing_is_everything() -> None:
    assert coverage(np.zeros((9, 9), np.bool_), 4, 4).min() == 1


def test_exposure_is_normalised() -> None:
    dark = plate(0)
    light = np.clip(dark.astype(int) + 60, 0, 255).astype(np.uint8)
    difference = normalise_exposure(dark).astype(int) - normalise_exposure(light).astype(int)
    assert np.abs(difference).mean() < 2
    flat = np.full((5, 5, 3), 7, np.uint8)
    assert np.unique(normalise_exposure(flat)).tolist() == [110]


def test_an_outline_of_many_cells_does_not_drown_few_odd_ones() -> None:
    odd = np.zeros((CELLS, CELLS), np.bool_)
    odd[3:5, 3:5] = True
    outlines = [np.zeros((CELLS, CELLS), np.bool_) for _ in range(2)]
    outlines[0][20:22, 20:22] = True
    outlines[1][10:, :] = True
    for outline in outlines:
        cells = region_cells(outline, odd)
        assert float(cells[odd].sum()) == pytest.approx(1.0)
        assert float(cells[outline].sum()) == pytest.approx(AGREEMENT)


def test_the_nearest_cells_are_those_that_the_experts_search_finds() -> None:
    rng = np.random.default_rng(2)
    queries = rng.normal(size=(5, 4, 4, 8)).astype(np.float32)
    cells = rng.normal(size=(16, 20, 8)).astype(np.float32)
    excluded = rng.random((5, 20)) < 0.3
    asked, bank = torch.from_numpy(queries).flatten(1, 2).transpose(0, 1), torch.from_numpy(cells)
    for barred in (None, excluded):
        same = None if barred is None else torch.from_numpy(barred)
        expected = smallest_squared(asked, bank, squared_norms(bank), 3, same).sqrt().mean(-1).T
        found = nearest_distances(queries, cells, np.square(cells).sum(-1), barred)
        assert np.allclose(found, expected.numpy().reshape(5, 4, 4), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (64, 50), (90, 61)])
@pytest.mark.parametrize("step", [1, 3])
def test_percentiles_of_the_histogram_are_those_of_the_values(
    shape: tuple[int, int], step: int
) -> None:
    values = np.random.default_rng(shape[0]).normal(120, 30, (*shape, 3)).clip(0, 255)
    image = values.astype(np.uint8)[::step, ::step]
    shares = (0, 10, 37.5, 50, 90, 100)
    assert grey_percentiles(image, shares) == pytest.approx(np.percentile(image, shares))
