"""How fast an expert is here, and how much of the machine's matrix throughput that is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from serving.experts.backbone import Network
from serving.experts.composed import ComposedExpert
from serving.experts.graph import Graph, build_heads
from serving.experts.mixed_precision import DTYPES
from serving.experts.runtime import Choice
from serving.experts.types import Image

_SIDE = {"cpu": 1024, "cuda": 8192}
"""Side of the product by device: a GPU reaches its peak on large ones only."""


@dataclass(frozen=True)
class Speed:
    """The speed from decoded uint8 arrays to scores and full-size maps, at one batch size."""

    batch: int
    images_per_s: float
    latency_ms: float
    """Median time of one call, milliseconds."""
    latency_p95_ms: float
    network_share: float
    """Share of the time inside the compiled graph (backbone and search); the rest is resizing,
    fusion and the full-size map."""


def measure_speed(
    expert: ComposedExpert, images: Sequence[Image], batch: int, seconds: float = 3.0
) -> Speed:
    """Call ``score`` on batches in turn for about ``seconds``, after a warm-up.

    Args:
        images: decoded photographs; cycled through.
        batch: images per call.
    """
    groups = [[images[(i * batch + j) % len(images)] for j in range(batch)] for i in range(16)]
    for group in groups[:2]:
        _whole(expert, group)
    spent: list[float] = []
    network = 0.0
    turn = 0
    while sum(spent) < seconds or len(spent) < 5:
        started = time.perf_counter()
        network += _whole(expert, groups[turn % len(groups)])
        spent.append(time.perf_counter() - started)
        turn += 1
    total = sum(spent)
    return Speed(
        batch,
        batch * len(spent) / total,
        float(np.median(spent)) * 1e3,
        float(np.quantile(spent, 0.95)) * 1e3,
        min(1.0, network / total),
    )


def flops_per_image(expert: ComposedExpert) -> dict[str, int]:
    """Floating-point operations (two per multiply-add) of backbone and heads for one image."""
    model = expert.model
    shape = model.preprocessing
    network = Network(model.backbone, model.layers).eval()
    graph = Graph(network, build_heads(model.heads))
    pixels = torch.zeros((1, shape.height, shape.width, 3), dtype=torch.uint8)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            features = graph.network_features(pixels)
        backbone = int(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter:
            graph.judge(features, pixels)
    return {"backbone": backbone, "heads": int(counter.get_total_flops())}


def matrix_peak(choice: Choice) -> float:
    """FLOP/s of a square matrix product on the expert's device, precision and threads."""
    kind = DTYPES.get(choice.precision, torch.float32)
    side = _SIDE["cuda" if choice.device.startswith("cuda") else "cpu"]
    if choice.device == "cpu":
        torch.set_num_threads(choice.threads)
    left = torch.randn(side, side, device=choice.device).to(kind)
    right, result = left.T.contiguous(), torch.empty_like(left)
    best, spent = float("inf"), 0.0
    while spent < 1.0:
        started = time.perf_counter()
        torch.mm(left, right, out=result)
        if choice.device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
        spent += time.perf_counter() - started
    return 2 * side**3 / best


def _whole(expert: ComposedExpert, group: list[Image]) -> float:
    found = expert.score(group)
    for answer in found:
        answer.full_map()
    return sum(answer.timings_ms["network"] for answer in found) / 1e3
