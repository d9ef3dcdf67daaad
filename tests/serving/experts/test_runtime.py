"""A compiled module: its answers, and that it is freed when nobody uses it any more."""

import gc
import weakref

import numpy as np
import pytest
from torch import Tensor, nn

from serving.experts.modules import make_runner
from serving.experts.runtime import Choice


class Means(nn.Module):
    """The mean of each row of pixels."""

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """(N, H, W, 3) to (N, H)."""
        return {"means": pixels.float().mean(dim=(2, 3))}


def test_a_version_that_is_replaced_gives_its_memory_back() -> None:
    pytest.importorskip("openvino")
    runner = make_runner(Means(), 8, 8, Choice("openvino", "f32", "cpu", 2))
    images = (
        np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3)
    )
    found = runner(images)
    assert found["means"].tolist() == [[float(i)] * 8 for i in range(3)]
    left = weakref.ref(runner.run)
    del runner
    gc.collect()
    assert left() is None
