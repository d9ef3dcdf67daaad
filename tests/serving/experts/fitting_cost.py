"""``python -m tests.serving.experts.fitting_cost [PICTURES]``: what a hold-out of all heads costs.

On made-up features of the default backbone at 256 pixels, half as many pictures under another
exposure and half as many with an anomaly, 3 folds, two threads. The sums show whether two versions
find the same.
"""

import json
import sys
import time

import numpy as np
import torch

from serving.experts.heads import HEADS, FitInput
from serving.experts.holdout import hold_out, make_folds
from serving.experts.options import TrainOptions

_SHAPES = {"stage2": (40, 32, 32), "stage3": (80, 16, 16), "stage4": (112, 16, 16)}


def measure(count: int) -> dict[str, object]:
    """Seconds of wall and CPU, and each head's surprise of the anomalies, summed."""
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)

    def made(pictures: int) -> FitInput:
        features = {
            layer: torch.randn(pictures, *shape, generator=generator)
            for layer, shape in _SHAPES.items()
        }
        pixels = torch.randint(
            0, 255, (pictures, 256, 256, 3), generator=generator, dtype=torch.uint8
        )
        return FitInput(features, pixels)

    normals, changed, odd = made(count), made(count // 2), made(count // 2)
    folds = make_folds([str(i) for i in range(count)], 3, 0)
    wall, cpu = time.perf_counter(), time.process_time()
    held = hold_out(
        normals,
        changed,
        odd,
        np.arange(count // 2),
        folds,
        TrainOptions(),
        tuple(HEADS),
        lambda *told: None,
        by_others=False,
    )
    return {
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "sums": {name: round(float(found.sum()), 3) for name, found in held.odd_surprise.items()},
    }


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 96
    sys.stdout.write(json.dumps(measure(asked)) + "\n")
