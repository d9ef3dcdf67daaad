"""DDAD at its published size on real photographs: AUROC and time, kept as properties.

    pytest -m gpu tests/serving/experts/test_ddad_tile_gpu.py --junitxml=x.xml

``ANDON_DDAD_EPOCHS`` (default 300) sets the passes over the normals; the published recipe has 2000.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lab.benchmarks.expert import accuracy, score_set
from lab.datasets.folders import Dataset, load_dataset
from serving.experts.ddad.expert import DdadExpert, choose_running
from serving.experts.ddad.options import DdadOptions
from serving.experts.images import read_image
from serving.experts.options import TrainOptions
from serving.experts.training import train
from tests.serving.experts.pictures import scratched, surface, write

BATCH = 16


def figures(data: Dataset, options: TrainOptions, folder: Path) -> dict[str, object]:
    """Train on a data set's normals and measure on its test photographs, f32 and as chosen."""
    started = time.perf_counter()
    images = [s.path for s in data.train]
    expert = train("tile", images, options, data.groups or None, checkpoints=folder)
    assert isinstance(expert, DdadExpert)
    found: dict[str, object] = {"train_s": time.perf_counter() - started}
    found |= {k: expert.model.trained[k] for k in ("unet", "choice", "precision")}
    photographs = [read_image(s.path) for s in data.test[:BATCH]]
    for precision in ("f32", "auto"):
        running = choose_running(expert.model, "torch", precision, options.device, options.threads)
        loaded = DdadExpert(expert.model, running)
        measured = accuracy(score_set(loaded, data.test))
        loaded.score(photographs)
        before = time.perf_counter()
        for answer in loaded.score(photographs):
            answer.full_map()
        spent = time.perf_counter() - before
        names = ("image_auroc", "pixel_auroc", "aupro", "fpr")
        found[precision] = {k: measured[k] for k in names} | {
            "ms_per_image": spent * 1e3 / len(photographs),
            "precision": running.precision,
            "plan": loaded.plan,
        }
    return found


@pytest.mark.gpu
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("protocol", ["full", "disjoint"])
def test_the_published_size_on_magnetic_tiles(
    shared: Path, tmp_path: Path, protocol: str, record_property: Callable[[str, object], None]
) -> None:
    data = load_dataset(shared / "data" / "magnetic_tile", protocol)
    epochs = int(os.environ.get("ANDON_DDAD_EPOCHS", "300"))
    own = DdadOptions(unet="published", epochs=epochs)
    options = TrainOptions(expert="ddad", device="cuda", false_alarm_rate=0.05, ddad=own)
    found = figures(data, options, tmp_path)
    for name, value in found.items():
        record_property(name, value)
    exact, chosen = found["f32"], found["auto"]
    assert isinstance(exact, dict)
    assert isinstance(chosen, dict)
    assert exact["image_auroc"] >= 0.8
    assert abs(chosen["image_auroc"] - exact["image_auroc"]) <= 0.005


def test_the_measurement_itself(tmp_path: Path) -> None:
    """The same steps on a CPU, on pictures and a network small enough for a moment."""
    write(tmp_path / "train" / "good", [surface(i, 64) for i in range(14)])
    write(tmp_path / "test" / "good", [surface(i, 64) for i in range(20, 23)])
    write(tmp_path / "test" / "scratch", [scratched(i, 64) for i in range(23, 26)])
    (tmp_path / "ground_truth").mkdir()
    own = DdadOptions(unet="small", epochs=1, batch=4, start=50, skip=50, guidance=(2.0,), trial=8)
    small = replace(own, pixel_weight=(1.0,), adapt_epochs=0)
    options = TrainOptions("ddad", 0.2, size=64, device="cpu", threads=1, ddad=small)
    found = figures(load_dataset(tmp_path, "full"), options, tmp_path / "run")
    exact, chosen = found["f32"], found["auto"]
    assert isinstance(exact, dict)
    assert isinstance(chosen, dict)
    assert exact["ms_per_image"] > 0
    assert exact["precision"] == chosen["precision"] == "f32"
    assert 0 <= exact["image_auroc"] == chosen["image_auroc"] <= 1
