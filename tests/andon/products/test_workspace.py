"""A draft on disk: what it takes, what it refuses, what it needs next."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from andon.products import workspace as workspace_module
from andon.products.workspace import Workspace
from console.product_drafts import (
    CheckedPolicy,
    DraftClass,
    DraftError,
    DraftStep,
    LiveProduct,
    PictureKind,
    ProductDraft,
    TaughtDraft,
    TrainedDraft,
    lessons_of,
    next_step,
    pictures_of,
)
from streams.codes import Action


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture
def draft(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "tile")
    made.begin("tile", "ada")
    return made


def trained(draft: ProductDraft) -> ProductDraft:
    found = TrainedDraft(
        digest="a" * 64,
        pictures=pictures_of(draft),
        images=1,
        parts=1,
        asked_rate=0.02,
        rate=0.02,
        threshold=1.0,
        found=0.5,
    )
    return draft.model_copy(update={"trained": found})


def test_pictures_are_taken_once_under_names_that_files_may_have(draft: Workspace) -> None:
    draft.add_normal("../../etc/pass wd.png", picture(1))
    draft.add_normal("pass_wd.PNG", picture(2), part="7")
    draft.add_normal("again.png", picture(1))
    found = draft.read().normals
    assert [n.name for n in found] == ["pass_wd.png", "pass_wd-2.png"]
    assert [n.part for n in found] == ["", "7"]
    assert draft.path(PictureKind.NORMAL, "pass_wd-2.png").read_bytes() == picture(2)
    assert draft.path(PictureKind.NORMAL, "pass_wd.png").parent == draft.folder / "normals"


@pytest.mark.parametrize("body", [b"", b"no picture", b"%PDF-1.7", picture(1)[:60]])
def test_what_experts_cannot_take_is_refused_by_name(draft: Workspace, body: bytes) -> None:
    with pytest.raises(DraftError, match=r"bad\.png: "):
        draft.add_normal("bad.png", body)
    assert not draft.read().normals


def test_the_same_picture_again_takes_what_is_said_of_it_now(draft: Workspace) -> None:
    """Whoever forgot the masks or the parts gives the command again."""
    draft.add_normal("1.png", picture(1))
    assert draft.add_normal("1.png", picture(1), part="7").normals[0].part == "7"
    assert draft.add_normal("1.png", picture(1)).normals[0].part == "7"
    draft.add_defect("2.png", picture(2), "dent", part="2.png")
    draft.set_class("dent", DraftClass(action=Action.SCRAP))
    before = lessons_of(draft.read())
    for mask in (b"first", b"second"):
        (defect,) = draft.add_defect("2.png", picture(2), "dent", mask, "P2").defects
        place = draft.mask(defect)
        assert place is not None
        assert place.read_bytes() == mask
        assert lessons_of(draft.read()) != before
        before = lessons_of(draft.read())
    again = draft.add_defect("other.png", picture(2))
    assert (again.defects[0].part, again.defects[0].masked, len(again.defects)) == ("P2", True, 1)
    assert again.classes == {"dent": DraftClass(action=Action.SCRAP)}
    assert set(draft.add_defect("2.png", picture(2), "crack").classes) == {"crack"}


def test_there_are_bounds(draft: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    thin = cv2.imencode(".png", np.full((64, 1, 3), 9, np.uint8))[1].tobytes()
    with pytest.raises(DraftError, match="1x64 pixels are too few"):
        draft.add_normal("5.png", thin)
    monkeypatch.setattr(workspace_module, "MOST_NORMALS", 1)
    monkeypatch.setattr(workspace_module, "MOST_DEFECTS", 1)
    draft.add_normal("1.png", picture(1))
    draft.add_defect("2.png", picture(2))
    for add in (draft.add_normal, draft.add_defect):
        with pytest.raises(DraftError, match="over 1 "):
            add("3.png", picture(3))
    monkeypatch.setattr(workspace_module, "MOST_BYTES", 10)
    with pytest.raises(DraftError, match="MiB"):
        draft.add_defect("4.png", picture(4))


def test_a_picture_is_not_good_and_bad_at_once(draft: Workspace) -> None:
    draft.add_normal("1.png", picture(1))
    with pytest.raises(DraftError, match="among the normal"):
        draft.add_defect("x.png", picture(1))
    draft.keep("1.png", False)
    assert draft.add_defect("x.png", picture(1)).defects[0].name == "x.png"


def test_a_class_comes_and_goes_with_its_defects(draft: Workspace) -> None:
    draft.add_defect("1.png", picture(1))
    draft.add_defect("2.png", picture(2), "dent")
    corners = [(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)]
    assert set(draft.name_defect("1.png", "crack ", corners).classes) == {"crack", "dent"}
    draft.set_class("crack", DraftClass(action=Action.SCRAP))
    assert draft.name_defect("2.png", "crack", []).classes == {
        "crack": DraftClass(action=Action.SCRAP)
    }
    assert draft.remove_defect("1.png").defects[0].name == "2.png"
    assert draft.remove_defect("2.png").classes == {}
    with pytest.raises(DraftError, match="has no 'crack'"):
        draft.set_class("crack", DraftClass())


@pytest.mark.parametrize("name", ["", "normal", "unknown", "a\x00b"])
def test_what_no_defect_is_called(draft: Workspace, name: str) -> None:
    draft.add_defect("1.png", picture(1))
    with pytest.raises(DraftError):
        draft.name_defect("1.png", name, [])


@pytest.mark.parametrize("corners", [[(0, 0), (1, 1)], [(0, 0), (1, 1), (0, 2)], [(0, 0)] * 501])
def test_outlines_that_are_none(draft: Workspace, corners: list[tuple[float, float]]) -> None:
    draft.add_defect("1.png", picture(1))
    with pytest.raises(DraftError, match="outline"):
        draft.name_defect("1.png", "crack", corners)


def test_no_path_leads_out_of_the_draft(draft: Workspace) -> None:
    (draft.folder / "secret.png").write_bytes(b"x")
    for name in ("../secret.png", "/etc/passwd", ""):
        with pytest.raises(DraftError):
            draft.path(PictureKind.NORMAL, name)


def test_what_is_next(draft: Workspace) -> None:
    assert next_step(draft.read()) is DraftStep.PICTURES
    draft.add_normal("1.png", picture(1))
    assert next_step(draft.read()) is DraftStep.TRAIN
    draft.change(trained)
    assert next_step(draft.read()) is DraftStep.POLICY
    draft.add_defect("2.png", picture(2), "dent")
    assert next_step(draft.read()) is DraftStep.TEACH

    def taught(now: ProductDraft) -> ProductDraft:
        made = TaughtDraft(expert="b" * 64, exemplars="c" * 64, lessons=lessons_of(now))
        return now.model_copy(update={"taught": made})

    draft.change(taught)
    checked = CheckedPolicy(text_hash="d", policy_hash="e" * 64)
    now = draft.change(lambda d: d.model_copy(update={"checked": checked}))
    assert next_step(now) is DraftStep.LIVE
    live = LiveProduct(
        at=now.began_at, by="ada", expert="b" * 64, exemplars="c" * 64, policy_hash="e" * 64
    )
    assert next_step(draft.change(lambda d: d.model_copy(update={"live": live}))) is None
    draft.name_defect("2.png", "crack", [])
    assert next_step(draft.read()) is DraftStep.TEACH
    draft.keep("1.png", False)
    assert next_step(draft.read()) is DraftStep.PICTURES


def test_a_damaged_draft_says_so(draft: Workspace) -> None:
    (draft.folder / "draft.json").write_text("{")
    with pytest.raises(DraftError, match="damaged"):
        draft.read()
    with pytest.raises(DraftError, match="no draft"):
        Workspace(draft.folder.with_name("none")).keep("1.png", True)
