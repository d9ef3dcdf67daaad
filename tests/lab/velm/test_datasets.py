"""The three layouts, the split by part, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lab.datasets.folders import DatasetError, load_dataset


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((4, 4), np.uint8))


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    for name in ("train/good/a", "train/good/b", "test/good/c", "test/cut/d", "test/cut/e"):
        picture(tmp_path / f"{name}.png")
    picture(tmp_path / "ground_truth/cut/d_mask.png")
    return tmp_path


def test_mvtec_layout_with_masks_where_there_are_some(mvtec: Path) -> None:
    found = load_dataset(mvtec)
    assert [s.path.stem for s in found.train] == ["a", "b"]
    assert found.classes == ("cut",)
    masks = {s.path.stem: s.mask for s in found.test}
    assert masks["d"] == mvtec / "ground_truth/cut/d_mask.png"
    assert masks["c"] is None
    assert masks["e"] is None


def test_disjoint_keeps_every_tested_part_out_of_training(mvtec: Path) -> None:
    (mvtec / "parts.csv").write_text(
        "path,class,part\ntrain/good/a.png,good,1\ntrain/good/b.png,good,2\ntest/good/c.png,good,1\n"
    )
    found = load_dataset(mvtec, "disjoint")
    assert [s.path.stem for s in found.train] == ["b"]
    assert [s.path.stem for s in found.left_out] == ["a"]
    assert load_dataset(mvtec).left_out == ()


def test_disjoint_without_parts_says_what_is_missing(mvtec: Path) -> None:
    with pytest.raises(DatasetError, match=r"parts\.csv"):
        load_dataset(mvtec, "disjoint")


def test_visa_reads_its_split(tmp_path: Path) -> None:
    rows = ["object,split,label,image,mask"]
    for i, (split, label) in enumerate(
        [("train", "normal"), ("test", "normal"), ("test", "anomaly")]
    ):
        image = f"candle/Data/Images/{i}.JPG"
        picture((tmp_path / image).with_suffix(".jpg"))
        rows.append(f"candle,{split},{label},{image},{'m.png' if label == 'anomaly' else ''}")
    rows.append("fryum,train,normal,x.JPG,")
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text("\n".join(rows))
    found = load_dataset(tmp_path / "candle")
    assert (len(found.train), len(found.test)) == (1, 2)
    assert [s.mask for s in found.test if s.anomalous] == [tmp_path / "m.png"]


def test_a_plain_folder_splits_its_normals_the_same_every_time(tmp_path: Path) -> None:
    for i in range(40):
        picture(tmp_path / f"nominal/{i}.png")
    picture(tmp_path / "stain/1.png")
    found = load_dataset(tmp_path)
    assert found == load_dataset(tmp_path)
    train = {s.path for s in found.train}
    test = {s.path for s in found.test if not s.anomalous}
    assert not train & test
    assert len(train | test) == 40
    assert 5 <= len(test) <= 20
    assert found.classes == ("stain",)


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_an_unknown_layout_is_refused(tmp_path: Path, missing: str) -> None:
    picture(tmp_path / "scratch/1.png")
    with pytest.raises(DatasetError):
        load_dataset(tmp_path / missing)


@pytest.mark.shared
def test_magnetic_tile_as_its_readme_counts_it(shared: Path) -> None:
    folder = shared / "data/magnetic_tile"
    full, disjoint = load_dataset(folder), load_dataset(folder, "disjoint")
    assert (len(full.train), len(disjoint.train), len(disjoint.left_out)) == (761, 521, 240)
    assert not {s.group for s in disjoint.train} & {s.group for s in disjoint.test}
