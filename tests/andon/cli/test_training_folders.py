"""Whose photographs train, and which show one part: refused or said, never guessed in silence."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from andon.cli.exemplar_folders import list_exemplars, read_exemplars
from andon.cli.experts import (
    ExpertCommandError,
    list_inputs,
    list_normals,
    parts_of,
    read_groups,
)
from streams.tables import TableError


def pictures(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / name), np.full((8, 8), 90, np.uint8))


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    pictures(tmp_path, "train/good/1.png", "train/good/2.png", "test/good/3.png", "test/cut/4.png")
    pictures(tmp_path, "ground_truth/cut/4_mask.png")
    return tmp_path


def test_a_data_sets_root_trains_on_its_normals_and_says_so(
    data_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [p.name for p in list_normals(data_set)] == ["1.png", "2.png"]
    said = capsys.readouterr().err
    assert "train/good" in said
    assert "left out: ground_truth, test" in said


def test_a_folder_of_defects_is_refused(data_set: Path) -> None:
    pictures(data_set, "mixed/NG/1.png")
    with pytest.raises(ExpertCommandError, match="it has NG, and no folder is named good"):
        list_normals(data_set / "mixed")


def test_masks_are_not_looked_at_as_parts(data_set: Path) -> None:
    found = {path.name for path in list_inputs([data_set])}
    assert found == {"1.png", "2.png", "3.png", "4.png"}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("row", ["train/good/1.png", "train\\good\\1.png", "{}/train/good/1.png"])
def test_groups_are_matched_and_counted(
    given: bool, row: str, data_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = data_set / "parts.csv"
    table.write_text(f"path,part\n{row.format(data_set)},P1\nelsewhere.png,P2\n")
    folder = data_set / "train" / "good"
    found = read_groups(folder, table if given else None)
    assert found == {folder / "1.png": "P1"}
    said = capsys.readouterr().err
    assert "parts of 1 photographs; 1 photographs have no row" in said
    assert "1 of 2 rows name none" in said


@pytest.mark.parametrize("name", ["parts.csv", "Parts.csv", "PARTS.CSV"])
@pytest.mark.parametrize("row", ["Train/Good/1.PNG", "TRAIN\\GOOD\\1.png"])
def test_capitals_of_another_system_hide_no_table_and_no_row(
    name: str, row: str, data_set: Path
) -> None:
    (data_set / name).write_text(f"path,part\n{row},P1\n")
    folder = data_set / "train" / "good"
    assert read_groups(folder, None) == {folder / "1.png": "P1"}


def test_a_table_of_other_folders_of_the_data_set_stops_nothing(data_set: Path) -> None:
    """Whoever knows the parts of the defects alone lists those."""
    table = data_set / "parts.csv"
    other = next(path for path in list_inputs([data_set]) if "test" in path.parts)
    table.write_text(f"path,part\n{other.relative_to(data_set).as_posix()},P1\n")
    folder = data_set / "train" / "good"
    assert read_groups(folder, None) == {}
    with pytest.raises(TableError, match="none of its 1 rows"):
        read_groups(folder, table)
    table.write_text("path,part\ntest/none/9.png,P1\n")
    with pytest.raises(TableError, match="none of its 1 rows"):
        read_groups(folder, None)


def test_names_that_differ_in_case_only_are_two_photographs(data_set: Path) -> None:
    folder = data_set / "train" / "good"
    pictures(folder, "A.png", "a.png")
    (data_set / "parts.csv").write_text("path,part\ntrain/good/a.png,P1\ntrain/good/A.png,P2\n")
    assert read_groups(folder, None) == {folder / "a.png": "P1", folder / "A.png": "P2"}


def test_groups_that_match_nothing_are_an_error(data_set: Path) -> None:
    (data_set / "parts.csv").write_text("path,part\nx/1.png,P1\n")
    with pytest.raises(TableError, match="none of its 1 rows"):
        read_groups(data_set / "train" / "good", None)
    assert read_groups(data_set / "train" / "good", None, strict=False) == {}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "grouped"),
    [
        ("plain", 2), ("backslash", 1), ("excel_utf8_bom", 1), ("latin1", 1), ("space_header", 1),
        ("absent_files", "none of its 1 rows"), ("short_row", "short_row.csv:2: 1 values"),
    ],
)  # fmt: skip
def test_tables_that_people_have(name: str, grouped: int | str, shared: Path) -> None:
    folder = shared / "cases" / "folders" / "parts"
    if isinstance(grouped, int):
        assert len(read_groups(folder / "normals", folder / f"{name}.csv")) == grouped
    else:
        with pytest.raises(TableError, match=grouped):
            read_groups(folder / "normals", folder / f"{name}.csv")


def test_parts_of_another_machine_are_matched_by_name(data_set: Path) -> None:
    table = data_set / "export.csv"
    table.write_text("path;part\nD:\\line 4\\1.png;P1\nD:\\line 4\\2.png;P1\n")
    shown = list_normals(data_set)
    assert set(parts_of(table, shown).values()) == {"P1"}


def test_exemplars_are_defects_and_their_missing_masks_are_counted(
    data_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(data_set, "test/cut/5.png")
    found = read_exemplars(list_exemplars(data_set / "test", data_set / "ground_truth", None))
    assert [(p.class_name, p.mask is None) for p in found] == [("cut", False), ("cut", True)]
    said = capsys.readouterr().err
    assert "taken for no class of defects: good" in said
    assert "1 of 2 photographs have no mask" in said


def test_a_mask_of_another_resolution_teaches_and_one_of_another_shape_is_refused(
    data_set: Path,
) -> None:
    """As `andon classify teach` takes them."""
    mask = np.zeros((4, 4), np.uint8)
    mask[1, 2] = 255
    place = data_set / "ground_truth" / "cut" / "4_mask.png"
    assert cv2.imwrite(str(place), mask)
    (found,) = read_exemplars(list_exemplars(data_set / "test", data_set / "ground_truth", None))
    assert found.mask is not None
    assert found.mask.shape == (8, 8)
    assert [int(axis.min()) for axis in found.mask.nonzero()] == [2, 4]
    assert found.mask.sum() == 4
    assert cv2.imwrite(str(place), np.zeros((8, 4), np.uint8))
    with pytest.raises(
        ExpertCommandError, match=r"4x8 pixels, but .* has 8x8: a mask has the shape"
    ):
        read_exemplars(list_exemplars(data_set / "test", data_set / "ground_truth", None))
