"""A compiled module is freed when nobody uses it any more; which precision is picked by itself."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from serving.experts import runtime
from serving.experts.modules import make_runner
from serving.experts.runtime import Choice, choose, openvino_core


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


@pytest.mark.parametrize(
    ("flags", "has_tiles"),
    [("fpu avx512_bf16 avx512_fp16", False), ("fpu avx512_bf16 amx_tile amx_bf16", True)],
)
def test_bf16_is_picked_where_the_cpu_has_tiles_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, has_tiles: bool
) -> None:
    pytest.importorskip("openvino")
    said = tmp_path / "cpuinfo"
    said.write_text(f"processor : 0\nflags : {flags}\nbugs : spectre_v1\n")
    monkeypatch.setattr(runtime, "_CPU_INFO", said)
    runtime._cpu_flags.cache_clear()
    try:
        offered = "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        assert (choose("openvino").precision == "bf16") == (has_tiles and offered)
        assert choose("openvino", "bf16").precision == "bf16"  # by name it is taken in any case
        monkeypatch.setattr(runtime, "_CPU_INFO", tmp_path / "none")
        runtime._cpu_flags.cache_clear()
        assert choose("openvino").precision == "f32"
    finally:
        runtime._cpu_flags.cache_clear()
