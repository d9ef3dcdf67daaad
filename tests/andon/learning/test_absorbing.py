"""Absorbing from the store and back into it: the version before stays in force, bit for bit."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from andon.cli.learn_absorb import folder_goods, reviewed_goods
from andon.learning.absorbing import absorb_goods
from andon.learning.errors import LearningError
from andon.learning.in_force import Stores
from lab.benchmarks.changes import gamma
from serving.bundle_store import open_folder
from serving.expert_versions import VersionNote
from serving.experts.absorbing.absorb import GoodPicture
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.errors import TrainingError
from serving.experts.images import decode_image
from serving.naming.exemplars import Exemplar, ExemplarBundle, Normal, load_bundle
from serving.naming.features import DEFAULT_BACKBONE
from serving.naming.hard_normals import pair
from serving.naming.teaching import choose_normals
from tests.andon.learning.test_session import encoded, reviews
from tests.serving.experts.conftest import normals as normals
from tests.serving.experts.conftest import trained as trained
from tests.serving.experts.pictures import surface, write


def silent(stage: str, done: int, total: int) -> None:
    """No progress."""


@pytest.mark.slow
def test_the_candidate_is_in_the_store_and_the_version_before_in_force(
    trained: ComposedExpert, tmp_path: Path
) -> None:
    base = save_artifact(trained, tmp_path / "experts")
    stores = Stores(open_folder(tmp_path / "experts"), open_folder(tmp_path / "exemplars"))
    change = gamma(0.6)
    goods = [GoodPicture(change(surface(seed)), "", str(seed)) for seed in range(400, 410)]
    made = absorb_goods(stores, "part", lambda _: goods, silent)
    assert (made.base, made.how) == (base, ("relit",))
    assert made.digest != base
    assert stores.experts.pointed("part") == base
    assert set(stores.experts.versions("part")) == {base, made.digest}
    body = stores.experts.note("part", made.digest)
    assert body is not None
    note = VersionNote.model_validate_json(body)
    assert (note.base, note.learned[0]) == (base, "400")
    usual = [GoodPicture(surface(seed), "", str(seed)) for seed in range(400, 410)]
    again = absorb_goods(stores, "part", lambda _: usual, silent)
    assert (again.digest, again.how) == (base, ())


@pytest.mark.slow
def test_the_exemplars_are_shown_so_and_calibrated_with_what_absorbed_it(
    trained: ComposedExpert, normals: list[Path], tmp_path: Path
) -> None:
    stores = Stores(open_folder(tmp_path / "experts"), open_folder(tmp_path / "exemplars"))
    save_artifact(trained, tmp_path / "experts")
    pictures = [path.read_bytes() for path in normals]
    marked = np.zeros(surface(0).shape[:2], bool)
    marked[30:40, 30:40] = True
    defect = Exemplar("spot", pictures[0], marked, "p", origin="")
    alarm = Normal(encoded(surface(990)), "reviewed")
    before = pair(
        ExemplarBundle("part", DEFAULT_BACKBONE, (defect,), choose_normals(pictures)),
        trained,
        reviewed=[alarm],
    )
    old = before.save(tmp_path / "exemplars").name
    change = gamma(0.6)
    goods = [GoodPicture(change(surface(seed)), "", str(seed)) for seed in range(400, 410)]
    made = absorb_goods(stores, "part", lambda _: goods, silent)
    body = stores.experts.note("part", made.digest)
    assert body is not None
    new = VersionNote.model_validate_json(body).exemplars
    assert new not in (None, old)
    assert stores.exemplars.products() == {"part": old}
    bundle = load_bundle(tmp_path / "exemplars" / "part" / str(new))
    assert bundle.gate is not None
    assert bundle.gate.expert_version == made.digest
    expert = load_expert(tmp_path / "experts" / "part" / made.digest)
    assert isinstance(expert, ComposedExpert)
    sent = (expert.held_out_scores() > expert.model.calibration.threshold).sum()
    assert len([h for h in bundle.hard if not h.reviewed]) == sent > 0
    assert [h.part for h in bundle.hard if h.reviewed] == ["reviewed"]
    assert [e.origin for e in bundle.exemplars] == [defect.sha256]
    for shown, known in zip(bundle.normals, before.normals, strict=True):
        wanted = change(decode_image(known.image)).astype(int)
        assert np.abs(decode_image(shown.image) - wanted).mean() < 4


def test_a_product_without_an_expert(tmp_path: Path) -> None:
    stores = Stores(open_folder(tmp_path / "experts"), open_folder(tmp_path / "exemplars"))
    with pytest.raises(LearningError, match="no expert in the store"):
        absorb_goods(stores, "part", lambda _: [], silent)


def test_good_parts_of_a_folder_and_of_reviews(tmp_path: Path) -> None:
    paths = write(tmp_path / "goods", [surface(1), surface(2)])
    (tmp_path / "goods" / "parts.csv").write_text(f"path,part\n{paths[0].name},P1\n")
    found = folder_goods(tmp_path / "goods", None)
    assert [(good.name, good.part) for good in found] == [("000.png", "P1"), ("001.png", "")]
    reviewed = reviewed_goods(reviews(), None)
    assert [good.name for good in reviewed] == [f"good-{i}" for i in range(6)]


def test_good_parts_of_16_bit_files_are_as_bright_as_on_the_line(tmp_path: Path) -> None:
    dark = np.full((40, 40), 500, np.uint16)
    assert cv2.imwrite(str(tmp_path / "dark.png"), dark)
    (of_folder,) = folder_goods(tmp_path, 12)
    picture = replace(reviews()[0], image=(tmp_path / "dark.png").read_bytes(), class_name="")
    (reviewed,) = reviewed_goods([picture], 12)
    assert of_folder.image.max() == reviewed.image.max() == 500 * 255 // 4095


def test_the_good_parts_are_read_by_the_bit_depth_of_the_expert(
    trained: ComposedExpert, tmp_path: Path
) -> None:
    save_artifact(with_bits(trained, 12), tmp_path / "experts")
    stores = Stores(open_folder(tmp_path / "experts"), open_folder(tmp_path / "exemplars"))
    asked: list[int | None] = []

    def read(bits: int | None) -> list[GoodPicture]:
        asked.append(bits)
        return []

    with pytest.raises(TrainingError, match="too few"):
        absorb_goods(stores, "part", read, silent)
    assert asked == [12]


def with_bits(expert: ComposedExpert, bits: int) -> ComposedExpert:
    """The expert as if it had been trained on 16-bit files of so many bits."""
    model = expert.model
    preprocessing = replace(model.preprocessing, bits=bits)
    return ComposedExpert(
        replace(model, preprocessing=preprocessing), expert.wanted, keep=expert.keep
    )
