"""Absorbing from the store and back into it: the version before stays in force, bit for bit."""

from pathlib import Path

import pytest

from andon.cli.learn_absorb import folder_goods, reviewed_goods
from andon.learning.absorbing import absorb_goods
from andon.learning.errors import LearningError
from andon.learning.in_force import Stores
from andon.learning.versions import VersionNote
from lab.benchmarks.changes import gamma
from serving.bundle_store import open_folder
from serving.experts.absorbing.absorb import GoodPicture
from serving.experts.artifact import save_artifact
from serving.experts.composed import ComposedExpert
from tests.andon.learning.test_session import reviews
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
    made = absorb_goods(stores, "part", goods, silent)
    assert (made.base, made.how) == (base, ("relit",))
    assert made.digest != base
    assert stores.experts.pointed("part") == base
    assert set(stores.experts.versions("part")) == {base, made.digest}
    body = stores.experts.note("part", made.digest)
    assert body is not None
    note = VersionNote.model_validate_json(body)
    assert (note.base, note.learned[0]) == (base, "400")
    usual = [GoodPicture(surface(seed), "", str(seed)) for seed in range(400, 410)]
    again = absorb_goods(stores, "part", usual, silent)
    assert (again.digest, again.how) == (base, ())


def test_a_product_without_an_expert(tmp_path: Path) -> None:
    stores = Stores(open_folder(tmp_path / "experts"), open_folder(tmp_path / "exemplars"))
    with pytest.raises(LearningError, match="no expert in the store"):
        absorb_goods(stores, "part", [], silent)


def test_good_parts_of_a_folder_and_of_reviews(tmp_path: Path) -> None:
    paths = write(tmp_path / "goods", [surface(1), surface(2)])
    (tmp_path / "goods" / "parts.csv").write_text(f"path,part\n{paths[0].name},P1\n")
    found = folder_goods(tmp_path / "goods")
    assert [(good.name, good.part) for good in found] == [("000.png", "P1"), ("001.png", "")]
    reviewed = reviewed_goods(reviews())
    assert [good.name for good in reviewed] == [f"good-{i}" for i in range(6)]
