"""Data sets as other systems write them: capitals, masks in folders, tables of spreadsheets."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from lab.datasets.folders import DatasetError, load_dataset
from lab.datasets.masks import read_mask, true_mask


def picture(path: Path, box: tuple[slice, slice] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((8, 8), np.uint8)
    if box is not None:
        pixels[box] = 255
    done, data = cv2.imencode(".png", pixels)
    assert done
    path.write_bytes(data.tobytes())


def test_capitals_hide_no_folder_and_no_mask(tmp_path: Path) -> None:
    for name in ("Train/Good/1.PNG", "Test/Good/2.PNG", "Test/Scratch/3.PNG"):
        picture(tmp_path / name)
    picture(tmp_path / "Ground_Truth/scratch/3_MASK.PNG", (slice(2, 4), slice(0, 8)))
    found = load_dataset(tmp_path)
    assert len(found.train) == 1
    assert found.classes == ("Scratch",)
    odd = next(s for s in found.test if s.anomalous)
    assert odd.mask == tmp_path / "Ground_Truth/scratch/3_MASK.PNG"


def test_a_folder_of_masks_is_united(tmp_path: Path) -> None:
    for name in ("train/good/1.png", "test/good/2.png", "test/logical_anomalies/000.png"):
        picture(tmp_path / name)
    truth = tmp_path / "ground_truth/logical_anomalies/000"
    picture(truth / "000.png", (slice(0, 2), slice(0, 2)))
    picture(truth / "001.png", (slice(6, 8), slice(6, 8)))
    odd = next(s for s in load_dataset(tmp_path).test if s.anomalous)
    assert odd.mask == truth
    assert true_mask(odd, np.zeros((8, 8, 3), np.uint8)).sum() == 8
    assert read_mask(truth, 16, 16).sum() == 32
    before = odd.digest
    picture(truth / "002.png", (slice(0, 8), slice(0, 1)))
    assert odd.digest != before


def test_missing_masks_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/good/1.png", "test/cut/2.png", "test/cut/3.png"):
        picture(tmp_path / name)
    picture(tmp_path / "ground_truth/cut/2_mask.png")
    load_dataset(tmp_path)
    assert "1 of 2 anomalous pictures have no mask" in caplog.text
    assert "3.png" in caplog.text


@pytest.mark.parametrize("separator", ["/", "\\"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_parts_are_matched_as_a_spreadsheet_writes_them(
    separator: str, encoding: str, tmp_path: Path
) -> None:
    for name in ("train/good/ü.png", "train/good/b.png", "test/good/c.png"):
        picture(tmp_path / name)
    rows = ["Path;Part", "train/good/ü.png;1", "test/good/c.png;1"]
    text = "\r\n".join(rows).replace("/", separator)
    (tmp_path / "parts.csv").write_bytes(text.encode(encoding))
    found = load_dataset(tmp_path, "disjoint")
    assert [s.path.name for s in found.left_out] == ["ü.png"]


def test_parts_that_match_no_photograph_are_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "train/good/1.png")
    (tmp_path / "parts.csv").write_text("path,part\nelsewhere/1.png,1\n")
    with pytest.raises(DatasetError, match=r"parts\.csv:2: none of its 1 rows"):
        load_dataset(tmp_path)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["Upper", "umlaut set", "mvtec", "loco"])
def test_folders_that_people_have(name: str, shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(shared / "cases" / "folders" / name, folder)
    if not (folder / "train").is_dir() and not (folder / "Train").is_dir():
        picture(folder / "train/good/0.png")
    found = load_dataset(folder)
    assert found.train
    assert all(s.mask is not None for s in found.test if s.anomalous)
