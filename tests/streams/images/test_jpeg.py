"""JPEG: turned by its orientation whatever else EXIF says, and refused where bytes were lost."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow
from PIL import ImageOps

from streams.errors import UndecodableImageError
from streams.images.decoding import decode
from tests.streams.images.made import by_kind, encoded, exif, orientation, photograph

COLOUR = pillow.fromarray(photograph())


def with_exif(block: bytes) -> bytes:
    return encoded(COLOUR, "JPEG", quality=90, exif=b"Exif\0\0" + block)


UPRIGHT = decode(with_exif(exif(orientation(1)))).pixels
TURNED = np.rot90(UPRIGHT, -1)


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_jpeg_is_turned_as_its_orientation_says(value: int, order: str) -> None:
    data = with_exif(exif(orientation(value, order), order=order))
    expected = np.asarray(ImageOps.exif_transpose(pillow.open(io.BytesIO(data))))
    assert (decode(data).pixels == expected).all()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF).filter(lambda tag: tag != 0x0112),
            st.integers(0, 20),
            st.integers(0, 0xFFFFFFFF),
            st.binary(min_size=4, max_size=4),
        ),
        max_size=8,
    ),
    st.integers(0, 8),
    st.sampled_from("<>"),
)
def test_no_other_tag_of_any_type_matters(
    others: list[tuple[int, int, int, bytes]], place: int, order: str
) -> None:
    entries = [*others[:place], orientation(6, order), *others[place:]]
    assert (decode(with_exif(exif(*entries, order=order))).pixels == TURNED).all()


ILL_TYPED = [
    (tag, kind, count, value)
    for tag in (0x010F, 0x011A, 0x0128, 0x0100, 0x8769, 0x9003, 0x927C)
    for kind in (0, 1, 2, 5, 6, 7, 10, 11, 12, 13, 99)
    for count, value in ((1, b"\xff\xff\xff\xff"), (0xFFFFFFFF, b"\x00\x00\x00\x00"))
]


@pytest.mark.parametrize("entry", ILL_TYPED, ids=lambda e: f"{e[0]:04x}-type{e[1]}-x{e[2]}")
def test_an_ill_typed_tag_leaves_the_picture_turned(entry: tuple[int, int, int, bytes]) -> None:
    assert (decode(with_exif(exif(entry, orientation(6)))).pixels == TURNED).all()


@pytest.mark.parametrize(
    "entry",
    [
        (0x0112, 2, 2, b"6\0\0\0"),
        (0x0112, 3, 1, struct.pack("<HH", 99, 0)),
        (0x0112, 3, 1, struct.pack("<HH", 0, 0)),
        (0x0112, 5, 1, b"\0\0\0\0"),
        (0x0112, 3, 2, struct.pack("<HH", 6, 6)),
    ],
)
def test_an_orientation_that_is_none_turns_nothing(entry: tuple[int, int, int, bytes]) -> None:
    assert (decode(with_exif(exif(entry))).pixels == UPRIGHT).all()


@pytest.mark.parametrize("cut", [0, 3, 8, 9, 12, 17])
def test_exif_that_is_cut_off_turns_nothing(cut: int) -> None:
    assert (decode(with_exif(exif(orientation(6))[:cut])).pixels == UPRIGHT).all()


@pytest.mark.parametrize("kind", ["jpg", "jpg grey", "jpg progressive", "jpg restarts", "jpg cmyk"])
@pytest.mark.parametrize("lost", [0.05, 0.1, 0.2, 0.35, 0.6])
@pytest.mark.parametrize("at", [0.4, 0.5, 0.7])
def test_a_hole_in_a_jpeg_is_refused(kind: str, lost: float, at: float) -> None:
    pytest.importorskip("simplejpeg")
    whole = by_kind()[kind]
    begin = whole.rindex(b"\xff\xda") if "progressive" not in kind else whole.index(b"\xff\xda")
    begin += int((len(whole) - begin) * at)
    rest = whole[min(len(whole) - 2, begin + int((len(whole) - begin) * lost * 2)) :]
    for closed in (rest, b"\xff\xd9"):
        with pytest.raises(UndecodableImageError, match="truncated or damaged"):
            decode(whole[:begin] + closed)


@pytest.mark.parametrize("count", [1, 2, 8, 9])
def test_whole_restart_intervals_that_are_missing_are_noticed(count: int) -> None:
    pytest.importorskip("simplejpeg")
    whole = by_kind()["jpg restarts"]
    marks = [i for i in range(len(whole) - 1) if whole[i] == 0xFF and 0xD0 <= whole[i + 1] <= 0xD7]
    assert len(marks) == 11
    with pytest.raises(UndecodableImageError, match="Corrupt JPEG data"):
        decode(whole[: marks[1]] + whole[marks[1 + count] :])


def test_a_progressive_jpeg_that_was_cut_between_scans_and_closed_is_refused() -> None:
    whole = by_kind()["jpg progressive"]
    last = whole.rindex(b"\xff\xda")
    with pytest.raises(UndecodableImageError, match="scans"):
        decode(whole[:last] + b"\xff\xd9")


def test_zeros_that_fill_up_a_jpegs_last_block_are_no_damage() -> None:
    data = by_kind()["jpg"]
    end = data.rindex(b"\xff\xd9")
    assert (decode(data[:end] + bytes(37) + data[end:]).pixels == decode(data).pixels).all()


def test_two_jpegs_in_one_file_are_said() -> None:
    assert decode(by_kind()["jpg grey"] * 2).notes
