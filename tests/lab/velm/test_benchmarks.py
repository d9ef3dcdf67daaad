"""Published layouts are checked, refinements derived as far as the paper determines them."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from lab.datasets.folders import DatasetError
from lab.datasets.published import open_benchmark
from lab.datasets.refinements import ObjectRules, Rules, load_rules, shipped
from policies.review.answer_files import split_key

RULES = shipped("mvtec_ac")


def lay_out(root: Path, counts: str) -> Path:
    """Empty files in the numbers of the published (or the released) data set."""
    for name, own in RULES.objects.items():
        classes = getattr(own, counts)
        if classes is None:
            continue
        (root / name / "ground_truth").mkdir(parents=True)
        for folder, count in [
            ("train/good", own.train),
            *((f"test/{c}", n) for c, n in classes.items()),
        ]:
            (root / name / folder).mkdir(parents=True)
            for i in range(count):
                (root / name / folder / f"{i:03d}.png").touch()
    return root


@pytest.fixture
def mvtec_ad(tmp_path: Path) -> Path:
    return lay_out(tmp_path, "published")


def test_mvtec_ad_as_published(mvtec_ad: Path) -> None:
    found = open_benchmark(mvtec_ad, "mvtec-ad")
    assert (len(found.objects), found.images) == (15, 1725)
    assert sum(len(d.train) for d in found.objects.values()) == 3629
    assert not found.differences


def test_mvtec_ac_is_derived_and_says_what_cannot_be(mvtec_ad: Path) -> None:
    found = open_benchmark(mvtec_ad, "mvtec-ac")
    assert (len(found.objects), found.images) == (14, 1597 + 31)
    assert "toothbrush" not in found.objects
    merged = {
        "capsule": "crack",
        "carpet": "cut",
        "screw": "scratch_thread",
        "zipper": "broken_teeth",
    }
    gone = {"poke", "hole", "thread_side", "thread_top", "rough", "combined"}
    for name, label in merged.items():
        assert label in found.objects[name].classes
        assert not gone & set(found.objects[name].classes)
    assert {d.object for d in found.differences} == {
        "bottle",
        "capsule",
        "grid",
        "hazelnut",
        "metal_nut",
        "pill",
        "screw",
    }
    assert sum(d.derived - d.released for d in found.differences) == 31
    assert any("36" in line for line in found.underivable)


def test_the_released_data_set_is_recognised_by_its_counts(tmp_path: Path) -> None:
    found = open_benchmark(lay_out(tmp_path, "released"), "mvtec-ac")
    assert (found.name, len(found.objects), found.images) == ("MVTec-AC", 14, 1597)
    assert not found.differences
    assert not found.underivable


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("cable/test/bent_wire/007.png", r"bent_wire: 12 pictures, .* 13; missing: 007\.png"),
        ("grid/train/good/263.png", r"train/good: 263 pictures, .* 264; missing: 263\.png"),
    ],
)
def test_an_incomplete_data_set_names_the_file(mvtec_ad: Path, absent: str, message: str) -> None:
    (mvtec_ad / absent).unlink()
    with pytest.raises(DatasetError, match=message):
        open_benchmark(mvtec_ad, "mvtec-ac")


def test_an_absent_object_names_the_folder(mvtec_ad: Path) -> None:
    (mvtec_ad / "wood").rename(mvtec_ad / "timber")
    with pytest.raises(DatasetError, match=r"wood.train.good: no such folder"):
        open_benchmark(mvtec_ad, "mvtec-ad")
    assert list(open_benchmark(mvtec_ad, "mvtec-ad", ["tile"]).objects) == ["tile"]


def test_an_object_that_the_refinement_has_not_is_refused(mvtec_ad: Path) -> None:
    with pytest.raises(DatasetError, match="no object 'toothbrush'"):
        open_benchmark(mvtec_ad, "mvtec-ac", ["toothbrush"])


def test_rules_of_ones_own_move_and_remove_pictures(mvtec_ad: Path) -> None:
    moves = {f"test/broken_small/{i:03d}.png": "broken_large" for i in range(4)}
    bottle = RULES.objects["bottle"].model_copy(update={"move": moves})
    nut = RULES.objects["metal_nut"].model_copy(update={"remove": ("test/scratch/022.png",)})
    objects = {"bottle": bottle, "metal_nut": nut}
    own = RULES.model_copy(update={"objects": objects})
    found = open_benchmark(mvtec_ad, "mvtec-ac", rules=own)
    assert not found.differences
    assert Counter(s.label for s in found.objects["bottle"].test)["broken_large"] == 24


def test_a_rule_about_a_picture_that_is_not_there_is_refused(mvtec_ad: Path) -> None:
    own = Rules(
        name="mine", layout="mvtec", objects={"tile": ObjectRules(remove=("test/oil/999.png",))}
    )
    with pytest.raises(DatasetError, match=r"999\.png: named by a rule"):
        open_benchmark(mvtec_ad, "mvtec-ac", rules=own)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "not YAML"),
        ("name: x\nlayout: tiff\nobjects: {}", "layout"),
        ("- 1", "valid dictionary"),
    ],
)
def test_a_bad_rules_file_says_where(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "rules.yaml").write_text(body)
    with pytest.raises(DatasetError, match=message):
        load_rules(tmp_path / "rules.yaml")


@pytest.mark.shared
def test_released_counts_and_merges_are_those_of_the_released_files(shared: Path) -> None:
    velm = shared / "velm"
    described = json.loads((velm / "mvtec_ac_des.json").read_text())
    counts: dict[str, Counter[str]] = {name: Counter() for name in described}
    for key in json.loads((velm / "mvtec_ac_preds_gpt_4o.json").read_text()):
        name, folder = split_key(key, described, "predictions")
        counts[name][folder] += 1
    released = {n: r.released for n, r in RULES.objects.items() if r.released is not None}
    assert released == counts
    assert sum(sum(c.values()) for c in counts.values()) == 1597
    for name, own in RULES.objects.items():
        if own.released is None:
            assert name in RULES.remove_objects
            continue
        assert set(own.released) - {"good"} == set(described[name]) - {"normal"}
        merged = {old for olds in own.merge.values() for old in olds}
        assert own.published is not None
        after = set(own.published) - merged - set(RULES.exclude_classes) | set(own.merge)
        assert after == set(own.released)


def visa(root: Path, labels: dict[str, int]) -> Path:
    """Two normals and pictures of each label, with the split and the annotations."""
    split = [["object", "split", "label", "image", "mask"]]
    anno = [["image", "label", "mask"]]
    for i, part in enumerate(("train", "test")):
        image = f"candle/Data/Images/Normal/{i:04d}.JPG"
        split.append(["candle", part, "normal", image, ""])
        anno.append([image, "normal", ""])
    for n, label in enumerate(label for label, count in labels.items() for _ in range(count)):
        image, mask = (f"candle/Data/{k}/Anomaly/{n:03d}" for k in ("Images", "Masks"))
        split.append(["candle", "test", "anomaly", f"{image}.JPG", f"{mask}.png"])
        anno.append([f"{image}.JPG", label, f"{mask}.png"])
    for path, rows in (("split_csv/1cls.csv", split), ("candle/image_anno.csv", anno)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)
    for row in anno[1:]:
        (root / row[0]).parent.mkdir(parents=True, exist_ok=True)
        (root / row[0]).touch()
    return root


def test_visa_has_its_own_labels(tmp_path: Path) -> None:
    found = open_benchmark(visa(tmp_path, {"melt": 12, "wick,melt": 3}), "visa")
    assert found.objects["candle"].classes == ("melt", "wick, melt")
    assert found.images == 16
    assert open_benchmark(tmp_path).name == "VisA"
    assert open_benchmark(tmp_path / "candle").objects == found.objects


def test_visa_ac_drops_small_classes_and_says_what_it_cannot_merge(tmp_path: Path) -> None:
    found = open_benchmark(visa(tmp_path, {"melt": 10, "wick": 9}), "visa-ac")
    assert found.objects["candle"].classes == ("melt",)
    assert any("Merge four" in line for line in found.underivable)


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("split_csv/1cls.csv", r"1cls\.csv: no such file"),
        ("candle/image_anno.csv", r"image_anno\.csv: no such file"),
        ("candle/Data/Images/Anomaly/000.JPG", r"000\.JPG: in the split, but not on disk"),
    ],
)
def test_an_incomplete_visa_names_the_file(tmp_path: Path, absent: str, message: str) -> None:
    (visa(tmp_path, {"melt": 10}) / absent).unlink()
    with pytest.raises(DatasetError, match=message):
        open_benchmark(tmp_path, "visa")
