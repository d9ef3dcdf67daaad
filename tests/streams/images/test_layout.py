"""Which files are pictures, which folders hold normal parts, and where the masks are."""

from pathlib import Path

import pytest

from streams.images.files import CONTENT_TYPES, is_picture, list_pictures
from streams.images.layout import LayoutError, MaskFolder, child, normal_folders, photographs


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path, found: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


@pytest.mark.parametrize("suffix", sorted(CONTENT_TYPES))
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_the_kinds_are_those_of_the_decoder_in_any_case(suffix: str, case: type[str]) -> None:
    assert is_picture(Path("a" + case(suffix)))


@pytest.mark.parametrize(
    "name",
    [
        "._001.png", ".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/._2.png", "__MACOSX/2.png",
        ".cache/1.png", "@eaDir/1.png", "$RECYCLE.BIN/1.png", "1.png.part", "notes.txt", "1.jp2",
    ],
)  # fmt: skip
def test_what_systems_leave_beside_pictures_is_no_part(name: str, tmp_path: Path) -> None:
    touch(tmp_path, "001.png", name)
    assert names(tmp_path, list_pictures(tmp_path)) == ["001.png"]


@pytest.mark.parametrize("train", ["train", "Train", "TRAIN"])
@pytest.mark.parametrize("good", ["good", "OK", "Normal", "nominal"])
def test_a_data_sets_root_gives_its_normal_training_parts(
    train: str, good: str, tmp_path: Path
) -> None:
    touch(
        tmp_path,
        f"{train}/{good}/1.png",
        "Test/good/2.png",
        "test2/cut/3.png",
        "Ground_Truth/m.png",
    )
    found = normal_folders(tmp_path)
    assert names(tmp_path, list(found.read)) == [f"{train}/{good}"]
    assert "left out: Ground_Truth, Test, test2" in found.words()


def test_classes_beside_the_normal_one_are_left_out_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "good/1.png", "crack/2.png", "train.txt")
    found = normal_folders(tmp_path)
    assert names(tmp_path, list(found.read)) == ["good"]
    assert found.words().endswith("left out: crack")


def test_photographs_alone_are_taken_without_a_word(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", ".hidden/2.png")
    assert normal_folders(tmp_path).read == [tmp_path]
    assert normal_folders(tmp_path).words() == ""


def test_subfolders_whose_names_say_nothing_are_taken_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "monday/1.png", "tuesday/1.png")
    assert normal_folders(tmp_path).read == [tmp_path]
    assert normal_folders(tmp_path).words().endswith("for normal parts: monday, tuesday")


@pytest.mark.parametrize(
    "folder", ["NOK", "defects", "Anomaly", "bad", "ground_truth", "Masks", "test", "train/scratch"]
)
def test_a_folder_of_defects_without_a_normal_one_is_refused(folder: str, tmp_path: Path) -> None:
    touch(tmp_path, f"{folder}/1.png", "1.png")
    with pytest.raises(
        LayoutError, match=f"it has {folder.split('/')[-1]}, and no folder is named"
    ):
        normal_folders(tmp_path)


def test_photographs_are_pictures_without_masks(tmp_path: Path) -> None:
    touch(tmp_path, "test/cut/1.png", "Ground_Truth/cut/1_mask.png", "masks/1.png")
    assert names(tmp_path, photographs(tmp_path)) == ["test/cut/1.png"]


@pytest.mark.parametrize(
    "mask", ["x_mask.png", "x_mask.PNG", "X_MASK.png", "x.png", "x.BMP", "x_mask.tiff"]
)
def test_a_mask_is_found_in_every_case_and_kind(mask: str, tmp_path: Path) -> None:
    touch(tmp_path, mask, "y_mask.png", "._x_mask.png")
    assert MaskFolder(tmp_path).of("x") == tmp_path / mask


def test_an_exact_name_goes_before_one_in_another_case(tmp_path: Path) -> None:
    touch(tmp_path, "X.png", "x.png", "x.bmp")
    masks = MaskFolder(tmp_path)
    assert (masks.of("x"), masks.of("X")) == (tmp_path / "x.png", tmp_path / "X.png")


def test_a_folder_of_masks_is_the_pictures_mask(tmp_path: Path) -> None:
    touch(tmp_path, "000/000.png", "000/001.png", "001/notes.txt")
    masks = MaskFolder(tmp_path)
    assert masks.of("000") == tmp_path / "000"
    assert masks.of("001") is None
    assert MaskFolder(tmp_path / "nowhere").of("000") is None


def test_a_subfolder_is_found_in_any_case(tmp_path: Path) -> None:
    touch(tmp_path, "Test/1.png")
    assert child(tmp_path, "test") == tmp_path / "Test"
    assert child(tmp_path, "train") == tmp_path / "train"
