"""A bundle loads as it was taught, or not at all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.experts.images import decode_image
from serving.naming.exemplars import (
    MAX_PER_CLASS,
    Exemplar,
    ExemplarBundle,
    ExemplarError,
    HardNormal,
    Normal,
    describe,
    latest,
    load_bundle,
    teach,
)
from serving.naming.false_alarms import Gate
from serving.naming.teaching import NORMAL_LIMIT, Lesson, choose_normals, teach_product
from tests.serving.naming.pictures import plate, png, spoiled


def a_bundle() -> ExemplarBundle:
    image, mask = spoiled("hole", 1)
    normals = (Normal(png(plate(1)), "p1"), Normal(png(plate(2))))
    empty = ExemplarBundle("tile/1".replace("/", "-"), "efficientnet_lite0", normals=normals)
    return teach(empty, [Exemplar("hole", png(image), mask, "p7", drawn=False)])


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    bundle = a_bundle()
    path = bundle.save(tmp_path)
    loaded = load_bundle(path)
    assert path == tmp_path / "tile-1" / bundle.digest
    assert loaded.digest == bundle.digest
    assert loaded.normals == bundle.normals
    (before,), (after,) = bundle.exemplars, loaded.exemplars
    assert (after.class_name, after.image, after.part) == ("hole", before.image, "p7")
    assert after.drawn is False
    assert np.array_equal(after.mask, before.mask)


def test_the_digest_follows_every_part_of_the_content() -> None:
    image, mask = spoiled("hole", 1)
    one = Exemplar("hole", png(image), mask, "p")
    base = ExemplarBundle("tile", "efficientnet_lite0")
    digests = {
        teach(base, [e]).digest
        for e in (
            one,
            Exemplar("pit", one.image, mask, "p"),
            Exemplar("hole", one.image, ~mask, "p"),
            Exemplar("hole", one.image, mask, "q"),
            Exemplar("hole", one.image, mask, "p", drawn=False),
            Exemplar("hole", png(plate(3)), mask, "p"),
        )
    }
    assert len(digests) == 6
    assert teach(base, [one]).digest in digests


@pytest.mark.parametrize("victim", ["picture", "manifest"])
def test_an_altered_file_is_refused(tmp_path: Path, victim: str) -> None:
    path = a_bundle().save(tmp_path)
    pictures = sorted((path / "images").iterdir())
    target = pictures[0] if victim == "picture" else path / "manifest.json"
    target.write_bytes(target.read_bytes() + b" ")
    with pytest.raises(ExemplarError, match="altered"):
        load_bundle(path)


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    path = a_bundle().save(tmp_path)
    victim = next((path / "images").iterdir())
    victim.unlink()
    with pytest.raises(ExemplarError, match=victim.name):
        load_bundle(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "andon.exemplars.v9"}, "v9"),
        ({"extra": 1}, "extra"),
        ({"backbone": 5}, "backbone"),
    ],
)
def test_another_manifest_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    manifest = a_bundle().save(tmp_path) / "manifest.json"
    body = json.loads(manifest.read_text()) | change
    folder = tmp_path / "by-hand"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(body))
    with pytest.raises(ExemplarError, match=message):
        load_bundle(folder)


def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    manifest = a_bundle().save(tmp_path) / "manifest.json"
    body = json.loads(manifest.read_text())
    body["exemplars"][0]["image"] = "../../../etc/passwd"
    (tmp_path / "manifest.json").write_text(json.dumps(body))
    with pytest.raises(ExemplarError, match="not a SHA-256"):
        load_bundle(tmp_path)


def test_a_correction_takes_what_was_made_from_the_picture_along() -> None:
    """A picture that shows an old part under a new light kept the class that was corrected."""
    bundle = a_bundle()
    (own,) = bundle.exemplars
    relit = replace(own, image=png(plate(3)), origin=own.sha256)
    both = replace(bundle, exemplars=(own, relit))
    assert [e.sha256 for e in teach(both, [own]).exemplars] == [relit.sha256, own.sha256]
    corrected = teach(both, [replace(own, class_name="dent")])
    assert [e.class_name for e in corrected.exemplars] == ["dent"]


def test_a_picture_taught_again_changes_class() -> None:
    bundle = a_bundle()
    example = bundle.exemplars[0]
    moved = teach(bundle, [Exemplar("pit", example.image, example.mask)])
    assert moved.classes == ("pit",)
    assert bundle.classes == ("hole",)


@pytest.mark.parametrize("name", ["", "  ", "unknown", "Normal.", "HOLE", "x" * 513])
def test_class_names_that_cannot_be_used(name: str) -> None:
    _, mask = spoiled("line", 2)
    with pytest.raises(ExemplarError):
        teach(a_bundle(), [Exemplar(name, png(plate(9)), mask)])


def test_a_class_is_bounded() -> None:
    mask = np.ones((2, 2), np.bool_)
    many = [Exemplar("a", str(i).encode(), mask) for i in range(MAX_PER_CLASS + 1)]
    with pytest.raises(ExemplarError, match="at most"):
        teach(a_bundle(), many)


@pytest.mark.parametrize("product", ["", " ", "x\x00", "a" * 201, "tile ", "til\u200be"])
def test_what_is_no_name_is_no_product(product: str, tmp_path: Path) -> None:
    with pytest.raises(ExemplarError, match="product"):
        ExemplarBundle(product, "backbone").save(tmp_path)


@pytest.mark.parametrize("product", ["../up", "a/b", "..", "AB/12 ö", "日本", "CON", "a" * 200])
def test_any_name_is_a_product(product: str, tmp_path: Path) -> None:
    saved = ExemplarBundle(product, "backbone").save(tmp_path / "root")
    assert saved.parent.parent == tmp_path / "root"
    assert latest(tmp_path / "root", product) == saved
    assert load_bundle(saved).product_id == product


def test_teaching_adds_to_a_bundle_or_begins_one(tmp_path: Path) -> None:
    first, mask = spoiled("hole", 1)
    second, _ = spoiled("line", 2)
    one = teach_product(tmp_path, "tile", [Lesson("hole", png(first), mask, "p1")])
    two = teach_product(
        tmp_path,
        "tile",
        [Lesson("line", png(second), name="line.png")],
        normals=[png(plate(i)) for i in range(3)],
        outline=lambda picture: decode_image(picture)[:, :, 0] > 200,
        onto=one,
    )
    assert latest(tmp_path, "tile") == two != one
    assert describe(load_bundle(two))["classes"] == {
        "hole": {"examples": 1, "parts": 1},
        "line": {"examples": 1, "parts": 1},
    }
    line = load_bundle(two).of_class("line")[0]
    assert line.drawn is False
    assert 0 < line.mask.mean() < 0.2
    afresh = teach_product(tmp_path, "tile", [Lesson("hole", png(first), mask)])
    assert load_bundle(afresh).normals == ()


def test_a_lesson_that_is_no_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExemplarError, match=r"b\.png: .*text"):
        teach_product(tmp_path, "tile", [Lesson("hole", b"not a picture at all", name="b.png")])
    dot = png(np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ExemplarError, match=r"d\.png: 1x1 pixels are too few"):
        teach_product(tmp_path, "tile", [Lesson("hole", dot, name="d.png")])


def test_normals_are_bounded_in_number_and_size() -> None:
    many = [png(plate(i)) for i in range(NORMAL_LIMIT + 40)]
    chosen = choose_normals(many, [str(i) for i in range(len(many))])
    assert len(chosen) == NORMAL_LIMIT
    assert (chosen[0].part, chosen[-1].part) == ("0", str(len(many) - 1))
    rng = np.random.default_rng(0)
    large = png(rng.integers(0, 255, (600, 1500, 3), dtype=np.uint8))
    (kept,) = choose_normals([large])
    assert len(kept.image) < len(large)
    with pytest.raises(ExemplarError, match="parts"):
        choose_normals(many, ["only one"])


def test_hard_normals_come_back_with_the_gate_that_they_passed(tmp_path: Path) -> None:
    image, mask = plate(5), np.eye(8, dtype=bool)
    hard = HardNormal(png(image), mask, "p9", score=4.25, weight=0.5)
    gate = Gate("d" * 64, 40, (0.5, 1.25, 4.25))
    bundle = replace(a_bundle(), hard=(hard,), gate=gate)
    loaded = load_bundle(bundle.save(tmp_path))
    assert loaded.digest == bundle.digest
    assert loaded.gate == gate
    (after,) = loaded.hard
    assert (after.image, after.part, after.score, after.weight) == (hard.image, "p9", 4.25, 0.5)
    assert (after.mask == mask).all()


def test_a_bundle_without_hard_normals_is_written_without_a_word_of_them(tmp_path: Path) -> None:
    """So that bundles of before keep their digest."""
    manifest = json.loads((a_bundle().save(tmp_path) / "manifest.json").read_text())
    assert not {"hard", "gate"} & manifest.keys()
