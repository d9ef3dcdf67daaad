"""Choices on held-out normals and synthetic anomalies."""

import numpy as np
import pytest

from serving.experts.selection import auroc, change_exposure, choose_heads, choose_map
from serving.experts.synthetic import KINDS, LOCAL_KINDS, corrupt
from tests.serving.experts.pictures import surface

RNG = np.random.default_rng(0)
LABELS = ["scratch"] * 60 + ["noise"] * 60


def head(scratch: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Surprises of 200 normals, and of 60 anomalies of each kind shifted by so much."""
    odd = RNG.exponential(size=120)
    odd[:60] += scratch
    odd[60:] += noise
    return RNG.exponential(size=200), odd


def test_a_head_joins_for_what_the_others_do_not_see() -> None:
    heads = {"cells": head(4, 0), "texture": head(0, 9), "pooled": head(0, 0)}
    found = choose_heads(
        {k: v[0] for k, v in heads.items()}, {k: v[1] for k, v in heads.items()}, LABELS
    )
    assert {"cells", "texture"} <= set(found.roles)
    assert min(found.by_kind.values()) > 0.85
    assert set(found.reasons) == set(heads)


def test_a_head_that_sees_nothing_is_left_out() -> None:
    heads = {"cells": head(4, 4), "padim": head(0, 0)}
    found = choose_heads(
        {k: v[0] for k, v in heads.items()}, {k: v[1] for k, v in heads.items()}, LABELS
    )
    assert found.roles == {"cells": "full"}
    assert "left out" in found.reasons["padim"]


def test_an_insurance_head_that_costs_nothing_decides_alone() -> None:
    """A gate would dilute what only it sees; where it adds noise of its own it stays gated."""
    calm = RNG.exponential(size=200)
    quiet = (np.full(200, 0.1), np.concatenate([np.full(60, 0.1), np.full(60, 5.0)]))
    noisy = (RNG.exponential(1.5, 200), np.concatenate([np.zeros(60), np.full(60, 9.0)]))
    main = (calm, np.concatenate([np.full(60, 6.0), RNG.exponential(size=60) + 1.5]))
    roles = {}
    for name, extra in (("quiet", quiet), ("noisy", noisy)):
        normal = {"cells": main[0], "texture": extra[0]}
        odd = {"cells": main[1], "texture": extra[1]}
        found = choose_heads(normal, odd, LABELS)
        roles[name] = found.roles["texture"]
    assert roles["quiet"] == "equal"
    assert roles["noisy"] == "gated"


def test_the_sharper_map_is_chosen_and_cut_where_it_outlines() -> None:
    masks = np.zeros((30, 64, 64), bool)
    masks[:, 20:36, 24:40] = True
    sharp = np.where(masks, 5.0, 0.0) + RNG.normal(0, 0.5, masks.shape)
    dull = RNG.normal(0, 1, masks.shape)
    normal = {"a": RNG.normal(0, 0.5, (20, 64, 64)), "b": RNG.normal(0, 1, (20, 64, 64))}
    found = choose_map(
        {k: v.astype(np.float32) for k, v in normal.items()},
        {"a": sharp.astype(np.float32), "b": dull.astype(np.float32)},
        masks,
        ["spot"] * 30,
    )
    assert found.heads[0] == "a"
    assert found.by_head["a"] > 0.95 > found.by_head["b"]
    assert 1 < found.cut < 5
    assert found.iou > 0.9


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_corruption_changes_what_its_mask_says(kind: str) -> None:
    image, donor = surface(1), surface(2)
    changed, mask = corrupt(image, donor, kind, 5)
    again, _ = corrupt(image, donor, kind, 5)
    assert (changed == again).all()
    assert mask.any()
    difference = np.abs(changed.astype(int) - image.astype(int)).max(axis=2)
    assert difference.max() > 0
    if kind in LOCAL_KINDS:
        assert mask.mean() < 0.3
        assert difference[mask].mean() > 5 * difference[~mask].mean()


def test_exposure_changes_tone_and_not_structure() -> None:
    image = surface(3)
    changed = change_exposure(image, 0.1, 4)
    alike = np.corrcoef(image.ravel(), changed.ravel())[0, 1]
    assert alike > 0.9
    assert (change_exposure(image, 0.0, 4) == image).mean() > 0.99


def test_auroc_counts_ties_half() -> None:
    assert auroc([0.0, 1.0], [1.0, 2.0]) == pytest.approx(0.875)
