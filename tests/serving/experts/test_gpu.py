"""What only a GPU can tell: agreement with the CPU, determinism, hot swap and the speed bars."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from serving.experts.artifact import load_expert, save_artifact
from serving.experts.backbone import Network
from serving.experts.composed import ComposedExpert
from serving.experts.cuda import Program
from serving.experts.graph import Graph, build_heads
from serving.experts.heads import HEADS
from serving.experts.options import TrainOptions
from serving.experts.speed import measure_speed
from serving.experts.training import train
from tests.serving.experts.pictures import SIDE, scratched, surface, write

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
PICTURES = np.stack([surface(i) for i in range(6)])


@pytest.mark.parametrize("precision", ["f32", "bf16", "fp16"])
def test_cuda_scores_as_the_cpu_does(
    trained: ComposedExpert, tmp_path: Path, precision: str
) -> None:
    path = tmp_path / "part" / save_artifact(trained, tmp_path)
    here = load_expert(path, runtime="torch", precision="f32", device="cpu")
    there = load_expert(path, precision=precision, device="cuda")
    images = [*PICTURES, *(scratched(i) for i in range(90, 96))]
    tolerance = 0.01 if precision == "f32" else 0.1
    for one, other in zip(here.score(images), there.score(images), strict=True):
        assert other.score == pytest.approx(one.score, rel=tolerance, abs=tolerance)


def test_on_cuda_a_score_depends_on_no_other_image(trained: ComposedExpert, tmp_path: Path) -> None:
    path = tmp_path / "part" / save_artifact(trained, tmp_path)
    there = load_expert(path, precision="f32", device="cuda")
    images = [surface(i) for i in range(20)]
    together = there.score(images)
    for image, among in reversed(list(zip(images, together, strict=True))):
        (alone,) = there.score([image])
        assert alone.score == pytest.approx(among.score, rel=1e-6)


def test_an_expert_in_use_on_cuda_can_be_saved(trained: ComposedExpert, tmp_path: Path) -> None:
    path = tmp_path / "part" / save_artifact(trained, tmp_path)
    there = load_expert(path, device="cuda")
    there.score([surface(0)])
    assert save_artifact(there, tmp_path / "again") == path.name


def test_a_graph_is_captured_while_another_thread_scores(trained: ComposedExpert) -> None:
    """A hot swap: the version in use goes on scoring."""
    model = trained.model
    graph = Graph(Network(model.backbone, model.layers), build_heads(model.heads))
    used = Program(graph, SIDE, SIDE, "cuda")
    expected = used(PICTURES)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(Program, graph, SIDE, SIDE, "cuda")
        while not loading.done():
            for name, values in used(PICTURES).items():
                np.testing.assert_array_equal(values, expected[name])
        captured = [a for a in loading.result().attempts if a.plan.graph]
    assert captured
    assert not any(t.refused for t in captured)


@pytest.mark.slow
@pytest.mark.parametrize("heads", [("patchcore",), tuple(HEADS)])
def test_the_gpu_keeps_up_with_the_fastest_published_detector(
    heads: Sequence[str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """600 images/s at batch 16, 2.2 ms alone, 256 px, array to score and full-size map."""
    paths = write(tmp_path / "normals", [surface(i, 256) for i in range(60)])
    options = TrainOptions(
        synthetic=40, heads=tuple(heads), false_alarm_rate=0.05, device="cpu", size=256
    )
    trained = train("part", paths, options)
    assert isinstance(trained, ComposedExpert)
    path = tmp_path / "part" / save_artifact(trained, tmp_path)
    there = load_expert(path, device="cuda")
    assert isinstance(there, ComposedExpert)
    images = [surface(i, 256) for i in range(100, 132)]
    speeds = {batch: measure_speed(there, images, batch) for batch in (1, 16)}
    record_property("plan", there.choice.plan)
    for batch, speed in speeds.items():
        record_property(f"latency_ms_{batch}", speed.latency_ms)
        record_property(f"images_per_s_{batch}", speed.images_per_s)
    assert speeds[16].images_per_s >= 600
    assert speeds[1].latency_ms <= 2.2
