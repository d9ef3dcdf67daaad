"""What is said of photographs that nobody should learn from: all at once, and what to do."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from serving.experts.errors import TrainingError, UndecodableImage
from serving.experts.normals import Normals, read_normals
from serving.experts.options import FEWEST_IMAGES, TrainOptions
from serving.experts.training import train
from tests.serving.experts.pictures import surface, write


def read(paths: list[Path], **options: int) -> Normals:
    return read_normals("tile", paths, {}, TrainOptions(**options), lambda *_: None)


def test_every_picture_that_cannot_be_read_is_named_at_once(tmp_path: Path) -> None:
    """Of 200 pictures the first bad one ended the training, and each next one the next training."""
    paths = write(tmp_path, [surface(n) for n in range(9)])
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UndecodableImage, match=r"000\.png: truncated.*one of 9 images out"):
        read(paths)
    paths[4].write_bytes(b"")
    cv2.imwrite(str(paths[6]), np.full((64, 1, 3), 9, np.uint8))
    with pytest.raises(UndecodableImage, match="3 of 9 images cannot be used; take them out") as e:
        read(paths)
    for words in ("000.png: truncated", "004.png: the image is empty", "006.png: 1x64 pixels"):
        assert words in str(e.value)
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(UndecodableImage, match=r"9 of 9 images.*; and 4 more"):
        read(paths)


@pytest.mark.parametrize("size", [(1, 1), (64, 1), (31, 400)])
def test_a_thumbnail_or_a_line_of_pixels_teaches_nothing(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """They were resized to the network's input, and an expert came out of it."""
    random = np.random.default_rng(1)
    pictures = [random.integers(0, 255, (*size, 3), np.uint8) for _ in range(FEWEST_IMAGES)]
    with pytest.raises(TrainingError, match=f"{size[1]}x{size[0]} pixels are too few"):
        train("tile", write(tmp_path, pictures), TrainOptions(size=64))


def test_several_sizes_are_said(tmp_path: Path) -> None:
    paths = write(tmp_path, [surface(n) for n in range(6)])
    assert not read(paths).notes
    cv2.imwrite(str(paths[0]), np.full((64, 96, 3), 90, np.uint8))
    (note,) = read(paths).notes
    usual = f"{surface(1).shape[1]}x{surface(1).shape[0]}"
    assert note.startswith(f"the images have 2 sizes, {usual} (5 of 6) and 96x64: all are resized")


def test_too_few_say_how_many_to_give(tmp_path: Path) -> None:
    three = write(tmp_path, [surface(n) for n in range(3)])
    with pytest.raises(TrainingError, match="3 images are too few: give at least 12"):
        train("tile", three)
