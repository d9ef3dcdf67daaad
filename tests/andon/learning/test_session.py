"""From reviews to a candidate: tested on later parts, in the store, not in force."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from andon.learning.errors import LearningError
from andon.learning.in_force import Stores
from andon.learning.lessons import ReviewedPicture
from andon.learning.session import Session
from serving.bundle_store import open_folder
from serving.expert_versions import VersionNote
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.naming.exemplars import ExemplarBundle, latest, load_bundle
from serving.naming.features import DEFAULT_BACKBONE
from serving.naming.hard_normals import pair
from tests.serving.experts.conftest import normals as normals
from tests.serving.experts.conftest import trained as trained
from tests.serving.experts.pictures import surface

pytestmark = pytest.mark.slow
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def encoded(picture: np.ndarray) -> bytes:
    body = io.BytesIO()
    pillow.fromarray(picture).save(body, "PNG")
    return body.getvalue()


def faint(seed: int, row: int) -> np.ndarray:
    """A surface with a faint band that the untaught expert hardly sees."""
    picture = surface(seed).astype(np.int16)
    picture[row : row + 6, 20:76] += 5
    return np.clip(picture, 0, 255).astype(np.uint8)


def reviews() -> list[ReviewedPicture]:
    kinds = [("band", 60, 8), ("stripe", 20, 3), ("", None, 6)]
    made = []
    for name, row, count in kinds:
        for i in range(count):
            seed = 700 + 20 * len(name) + i
            picture, outline = surface(seed), None
            if row is not None:
                picture, outline = faint(seed, row), np.zeros(picture.shape[:2], bool)
                outline[row : row + 6, 20:76] = True
            at = BEGIN + timedelta(minutes=i)
            frame = f"{name or 'good'}-{i}"
            made.append(
                ReviewedPicture(frame, frame, at, name, encoded(picture), outline, action="pass")
            )
    return made


@pytest.fixture(scope="module")
def plant(trained: ComposedExpert, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("plant")
    return root, save_artifact(trained, root / "experts")


def open_session(root: Path) -> Session:
    stores = Stores(open_folder(root / "experts"), open_folder(root / "exemplars"))
    return Session.open(stores, "part", lambda stage, done, total: None)


def test_a_candidate_is_tested_on_later_parts_and_waits_in_the_store(
    plant: tuple[Path, str],
) -> None:
    root, base = plant
    session = open_session(root)
    made = session.learn(reviews(), 20, 0.3, ["left"], root / "learn.html")
    tested = {v.frame for v in made.tested.verdicts}
    assert tested == {"band-6", "band-7", "good-5"}
    found = made.tested.shares
    assert found.escapes_before is not None
    assert found.escapes_before > 0.0
    assert found.escapes_after == 0.0
    assert session.stores.experts.products() == {"part": base}
    assert session.stores.exemplars.products() == {}
    assert latest(root / "exemplars", "part") is None
    assert load_expert(root / "experts" / "part" / made.digest).version == made.digest
    bundle = load_bundle(root / "exemplars" / "part" / made.exemplars)
    assert {name: len(bundle.of_class(name)) for name in bundle.classes} == {"band": 8, "stripe": 3}
    body = session.stores.experts.note("part", made.digest)
    assert body is not None
    note = VersionNote.model_validate_json(body)
    assert (note.base, note.exemplars, note.without) == (base, made.exemplars, ["left"])
    assert len(note.learned) == 17
    assert note.held_out["escapes_after"] == 0.0
    page = (root / "learn.html").read_text()
    stopped = sum(bool(v.class_name) and v.gained for v in made.tested.verdicts)
    assert f"Escapes that it would have stopped ({stopped})" in page
    assert "band-7" in page
    assert page.count("data:image/jpeg;base64,") >= 2 * stopped


def test_a_review_corrects_what_was_taught_before(plant: tuple[Path, str]) -> None:
    root, base = plant
    session = open_session(root)
    first = session.learn(reviews(), 20, 0.3, [], root / "first.html")
    session.stores.experts.point("part", first.digest)
    session.stores.exemplars.point("part", first.exemplars)
    again = [p for p in reviews() if p.class_name != "stripe"]
    stripes = [p for p in reviews() if p.class_name == "stripe"]
    again += [ReviewedPicture(p.frame, p.part, p.at, "", p.image) for p in stripes]
    try:
        second = open_session(root).learn(again, 20, 0.3, [], root / "second.html")
        assert set(second.tested.candidate.bundle.classes) == {"band"}
    finally:
        session.stores.experts.point("part", base)
        session.stores.exemplars.point("part", None)


def test_a_reviewed_false_alarm_reaches_expert_and_classifier(
    trained: ComposedExpert, normals: list[Path], tmp_path: Path
) -> None:
    save_artifact(trained, tmp_path / "experts")
    taught = ExemplarBundle("part", DEFAULT_BACKBONE)
    shown = [path.read_bytes() for path in normals]
    pair(taught, trained, shown).save(tmp_path / "exemplars")
    pictures = reviews()
    odd = np.zeros(surface(0).shape[:2], bool)
    odd[10:20, 10:20] = True
    pictures[-1] = replace(pictures[-1], outline=odd)
    made = open_session(tmp_path).learn(pictures, 20, 0.3, [], tmp_path / "learn.html")
    bundle = load_bundle(tmp_path / "exemplars" / "part" / made.exemplars)
    assert [h.part for h in bundle.hard if h.reviewed] == [pictures[-1].part]
    assert bundle.gate is not None
    assert bundle.gate.expert_version == made.digest


def test_a_second_rehearsal_has_not_been_taught_what_it_is_judged_on(
    plant: tuple[Path, str],
) -> None:
    root, base = plant
    session = open_session(root)
    first = session.learn(reviews(), 20, 0.3, [], root / "first.html")
    assert first.tested.known_before == 0
    session.stores.experts.point("part", first.digest)
    session.stores.exemplars.point("part", first.exemplars)
    try:
        second = open_session(root)
        rehearsed = second.apprentice.learn(reviews()[:6], 20, reviews()[6:8])
        assert {e.part for e in rehearsed.bundle.exemplars} & {"band-6", "band-7"} == set()
        made = second.learn(reviews(), 20, 0.3, [], root / "second.html")
        found = {v.frame: v.score_after for v in made.tested.verdicts}
        alone = {v.frame: v.score_after for v in first.tested.verdicts}
        assert found == pytest.approx(alone)
        assert made.as_json()["known_before"] == 2
        assert len(made.tested.candidate.bundle.of_class("band")) == 8
        assert "2 of the later" in (root / "second.html").read_text()
    finally:
        session.stores.experts.point("part", base)
        session.stores.exemplars.point("part", None)


def test_too_little_is_refused(plant: tuple[Path, str]) -> None:
    root, _ = plant
    session = open_session(root)
    one = [p for p in reviews() if p.class_name == "band"][:1]
    with pytest.raises(LearningError, match="review at least 2"):
        session.learn(one, 20, 0.3, [], root / "no.html")
    two = [p for p in reviews() if p.class_name == "band"][:2]
    with pytest.raises(LearningError, match="no later part"):
        session.learn(two, 20, 0.3, [], root / "no.html")
    stores = Stores(open_folder(root / "nowhere"), open_folder(root / "exemplars"))
    with pytest.raises(LearningError, match="andon train"):
        Session.open(stores, "part", lambda stage, done, total: None)
