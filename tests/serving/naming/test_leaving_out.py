"""Exemplars are judged by those of other parts, and one under the wrong class stands out."""

from pathlib import Path

import pytest

from serving.naming.exemplars import ExemplarBundle, load_bundle
from serving.naming.leaving_out import leave_parts_out
from serving.naming.teaching import Lesson, teach_product
from tests.serving.naming.pictures import KINDS, plate, png, spoiled


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ExemplarBundle:
    """Three kinds of four exemplars; one more line is filed under hole."""
    lessons = []
    for kind in KINDS:
        for seed in range(4):
            image, mask = spoiled(kind, seed)
            lessons.append(Lesson(kind, png(image), mask, f"{kind}-{seed}"))
    image, mask = spoiled("line", 9)
    lessons.append(Lesson("hole", png(image), mask, "wrong"))
    normals = [png(plate(i)) for i in range(8)]
    folder = tmp_path_factory.mktemp("bundles")
    return load_bundle(teach_product(folder, "plate", lessons, normals=normals))


def test_an_exemplar_under_the_wrong_class_stands_out(bundle: ExemplarBundle) -> None:
    told: list[int] = []
    found = leave_parts_out(bundle, advance=told.append)
    assert sum(told) == len(found) == 13
    shares = {left.exemplar.part: left.probabilities for left in found}
    assert shares["wrong"]["line"] > shares["wrong"]["hole"]
    kept = [
        left for left in found
        if left.exemplar.part != "wrong"
        and max(left.probabilities, key=lambda n: left.probabilities[n]) == left.exemplar.class_name
    ]  # fmt: skip
    assert len(kept) >= 10


def test_a_class_of_one_part_is_not_judged(tmp_path: Path) -> None:
    lessons = []
    for kind, seed in (("hole", 1), ("hole", 2), ("line", 1)):
        image, mask = spoiled(kind, seed)
        lessons.append(Lesson(kind, png(image), mask, f"{kind}-{seed}"))
    taught = load_bundle(teach_product(tmp_path, "plate", lessons, normals=[]))
    assert {left.exemplar.part for left in leave_parts_out(taught)} == {"hole-1", "hole-2"}
    assert leave_parts_out(ExemplarBundle("plate", taught.backbone)) == []
