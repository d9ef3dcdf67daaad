"""Hold-out on made-up features: what is scored again later must score the same."""

import numpy as np
import torch

from serving.experts.fusion import fuse_surprises
from serving.experts.heads import FitInput
from serving.experts.holdout import hold_out, make_folds, rehearse
from serving.experts.options import TrainOptions

COUNT, SIDE = 24, 48
RNG = np.random.default_rng(5)
ROLES = {"relative": "full", "texture": "gated"}


def images(shift: float) -> FitInput:
    pixels = RNG.integers(60, 200, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    features = torch.from_numpy(RNG.normal(shift, 1, (COUNT, 8, 4, 4)).astype(np.float32))
    return FitInput({"stage4": features}, torch.from_numpy(pixels))


def test_a_rehearsal_repeats_the_hold_out_on_the_fold_that_no_head_has_seen() -> None:
    normals, odd = images(0), images(0)
    folds = make_folds([str(i) for i in range(COUNT)], 3, 0)
    threads = torch.get_num_threads()
    held = hold_out(
        normals,
        None,
        odd,
        np.arange(COUNT),
        folds,
        TrainOptions(),
        tuple(ROLES),
        lambda *told: None,
    )
    assert torch.get_num_threads() == threads

    first = torch.from_numpy(folds[0])
    for given, known in ((normals, held.plain_surprise), (odd, held.odd_surprise)):
        again = rehearse(held, ROLES, given.select(first))
        np.testing.assert_allclose(again, fuse_surprises(known, ROLES)[folds[0]], rtol=1e-5)
    second = rehearse(held, ROLES, normals.select(torch.from_numpy(folds[1])))
    assert (second < fuse_surprises(held.plain_surprise, ROLES)[folds[1]]).mean() > 0.8, (
        "these heads were fitted on the second fold: it must look less odd to them"
    )
