"""``andon train --expert ddad`` hands its options to DDAD's training."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from andon.cli.train import app
from serving.experts import training
from serving.experts.errors import TrainingError
from serving.experts.normals import Normals
from serving.experts.options import TrainOptions


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Twelve grey photographs of 64 x 64 pixels."""
    folder = tmp_path / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        grey = rng.integers(90, 160, (64, 64), dtype=np.uint8)
        assert cv2.imwrite(str(folder / f"{i:02}.png"), grey)
    return folder


def test_its_options_arrive(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def stop(
        normals: Normals, options: TrainOptions, report: object, checkpoints: Path | None
    ) -> None:
        seen.update(normals=normals, options=options, checkpoints=checkpoints)
        raise TrainingError("far enough")

    monkeypatch.setattr(training, "train_ddad", stop)
    arguments = ["--product", "tile", "--images", str(photographs), "--expert", "ddad"]
    arguments += [
        "--set",
        "unet=published_s",
        "--set",
        "epochs=7",
        "--resume",
        str(tmp_path / "run"),
    ]
    found = CliRunner().invoke(app, [*arguments, "--set", "size=64", "--set", "seed=3"])
    assert "far enough" in str(found.exception)
    assert seen["normals"].product == "tile"
    assert seen["normals"].pixels.shape == (12, 64, 64, 3)
    assert seen["checkpoints"] == tmp_path / "run"
    assert seen["options"].seed == 3
    assert (seen["options"].ddad.unet, seen["options"].ddad.epochs) == ("published_s", 7)


def test_checkpoints_are_of_ddad_alone(photographs: Path, tmp_path: Path) -> None:
    arguments = ["--product", "tile", "--images", str(photographs), "--set", "size=64"]
    found = CliRunner().invoke(app, [*arguments, "--resume", str(tmp_path / "run")])
    assert found.exit_code == 1
    assert "only 'ddad' has checkpoints" in str(found.exception)
