"""12 bits in 16: training counts them over all images, the artifact keeps them for serving."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from andon.cli.train import app as train_app
from lab.benchmarks.expert import score_set
from lab.datasets.folders import Sample
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.errors import TrainingError, UndecodableImage
from serving.experts.images import read_image
from serving.experts.options import TrainOptions
from serving.experts.teaching import LabelledPicture
from serving.experts.training import train
from serving.experts.types import Image
from serving.naming.exemplars import ExemplarError
from serving.naming.teaching import Lesson, outliner, teach_product
from tests.serving.experts.conftest import OPTIONS
from tests.serving.experts.pictures import surface


def write_deep(folder: Path, pictures: list[Image], bits: int = 12) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:03}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        assert cv2.imwrite(str(path), picture[:, :, 0].astype(np.uint16) << (bits - 8))
    return paths


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> ComposedExpert:
    dark = [surface(i) // 3 for i in range(2)]
    pictures = [*dark, *(surface(i) for i in range(2, 30))]
    return train("deep", write_deep(tmp_path_factory.mktemp("deep"), pictures), OPTIONS)


def test_bits_are_counted_over_all_images_and_said(deep: ComposedExpert) -> None:
    assert deep.bit_depth == 12
    said = [w for w in deep.model.trained["warnings"] if "16 bits" in w]
    assert len(said) == 1
    assert "4095" in said[0]
    assert "--set bit-depth" in said[0]


def test_the_artifact_keeps_the_depth(deep: ComposedExpert, tmp_path: Path) -> None:
    loaded = load_expert(tmp_path / "deep" / save_artifact(deep, tmp_path))
    assert loaded.bit_depth == 12


def test_a_dark_picture_is_as_dark_in_use_as_in_training(
    deep: ComposedExpert, tmp_path: Path
) -> None:
    dark = write_deep(tmp_path, [surface(77) // 8])[0]
    assert read_image(dark, deep.bit_depth).max() < 40
    assert read_image(dark).max() > 60, "by itself it would be taken for fewer bits"


def test_a_picture_deeper_than_the_training_is_refused_with_what_to_do(
    deep: ComposedExpert, tmp_path: Path
) -> None:
    deeper = write_deep(tmp_path, [surface(5)], bits=16)[0]
    with pytest.raises(UndecodableImage, match="use 16 bits, but a bit depth of 12"):
        read_image(deeper, deep.bit_depth)


def test_a_depth_that_is_given_is_not_counted(tmp_path: Path) -> None:
    paths = write_deep(tmp_path, [surface(i) // 5 for i in range(14)])
    given = train("dim", paths, replace(OPTIONS, bit_depth=12))
    assert given.bit_depth == 12
    assert not [w for w in given.model.trained["warnings"] if "16 bits" in w]
    with pytest.raises(UndecodableImage, match="bit depth of 8"):
        train("dim", paths, replace(OPTIONS, bit_depth=8))


def test_images_of_8_bits_have_no_depth(trained: ComposedExpert) -> None:
    assert trained.bit_depth is None


@pytest.mark.parametrize("bits", [7, 17])
def test_a_depth_that_no_camera_has_is_an_error(bits: int) -> None:
    with pytest.raises(TrainingError, match="bit_depth"):
        TrainOptions(bit_depth=bits)


def test_dark_exemplars_of_a_training_are_as_dark_as_its_normals(
    deep: ComposedExpert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_deep(tmp_path / "labelled" / "spot", [surface(77) // 8])
    normals = write_deep(tmp_path / "good", [surface(i) for i in range(2)])
    taught: list[LabelledPicture] = []

    def teach(
        expert: ComposedExpert, pictures: list[LabelledPicture], report: object
    ) -> ComposedExpert:
        taught.extend(pictures)
        return expert

    monkeypatch.setattr("serving.experts.training.train", lambda *_: deep)
    monkeypatch.setattr("serving.experts.teaching.teach", teach)
    where = ["--images", str(normals[0].parent), "--out", str(tmp_path / "out")]
    labelled = ["--set", f"exemplars={tmp_path / 'labelled'}"]
    found = CliRunner().invoke(train_app, ["--product", "deep", *where, *labelled])
    assert found.exit_code == 0, found.output
    assert [picture.image.max() < 40 for picture in taught] == [True]


def test_a_benchmark_scores_a_dark_picture_as_the_line_does(
    deep: ComposedExpert, tmp_path: Path
) -> None:
    dark = write_deep(tmp_path, [surface(77) // 8])[0]
    as_on_the_line = deep.score([read_image(dark, 12)])[0].score
    found = score_set(deep, [Sample(dark, "good", False)])
    assert found.scores.tolist() == [as_on_the_line]


def test_a_dark_exemplar_is_outlined_as_the_line_sees_it(
    deep: ComposedExpert, tmp_path: Path
) -> None:
    artifact = tmp_path / "deep" / save_artifact(deep, tmp_path)
    dark = write_deep(tmp_path, [surface(77) // 8])[0]
    region = deep.score([read_image(dark, 12)])[0].region
    assert region is not None
    found = outliner(artifact)(dark.read_bytes())
    assert found is not None
    assert (found == region.mask).all()
    deeper = write_deep(tmp_path / "deeper", [surface(5)], bits=16)[0]
    lesson = Lesson("spot", deeper.read_bytes(), name="spot.png")
    with pytest.raises(ExemplarError, match=r"spot\.png: its pixels use 16 bits"):
        teach_product(tmp_path, "deep", [lesson], outline=outliner(artifact))
