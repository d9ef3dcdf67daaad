"""The rules that every picture goes by: what is read, what is refused, what is said."""

import struct
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as pillow

from streams.errors import UndecodableImageError
from streams.images.decoding import TooDeepError, decode
from streams.images.png import SIGNATURE
from tests.streams.images.fuzz import holes, run
from tests.streams.images.made import by_kind, encoded, photograph

KINDS = sorted(by_kind())
NOT_WATCHED = {"pgm text"}
"""Kinds whose form has nothing that tells of lost bytes."""
COLOUR = pillow.fromarray(photograph())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_picture_in_colour(kind: str) -> None:
    found = decode(by_kind()[kind])
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape in ((96, 128, 3), (128, 96, 3), (2, 3, 3))


@pytest.mark.parametrize(
    "kind", ["png", "bmp", "tif", "ppm", "tif tiff_lzw", "tif packbits", "apng"]
)
def test_lossless_kinds_give_the_photograph_itself(kind: str) -> None:
    assert (
        decode(by_kind()[kind]).pixels == photograph()[:, :, :: -1 if "16" in kind else 1]
    ).all()


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in NOT_WATCHED])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.97])
def test_what_is_cut_off_is_refused_or_lost_no_pixel(kind: str, share: float) -> None:
    whole = by_kind()[kind]
    try:
        found = decode(whole[: int(len(whole) * share)])
    except UndecodableImageError:
        return
    assert len(decode(whole).notes) > 0, "only later pages may be missing"
    assert (found.pixels == decode(whole).pixels).all()


def test_bytes_lost_anywhere_are_refused_or_were_not_of_the_picture() -> None:
    for kind, counts in holes(60).items():
        if "jpg" not in kind and kind not in {"mpo", *NOT_WATCHED}:
            assert counts["other"] <= (kind == "tif big"), kind


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("0000000c6a5020200d0a870a", "JPEG 2000"), ("00000018667479706176 6966", "AVIF"),
        ("0000001866747970 68656963", "HEIC"), ("ff0a", "JPEG XL"), ("38425053", "Photoshop"),
    ],
)  # fmt: skip
def test_a_kind_that_is_not_read_is_named(head: str, name: str) -> None:
    with pytest.raises(UndecodableImageError, match=f"a file of {name}, which is not read"):
        decode(bytes.fromhex(head) + bytes(50))


@pytest.mark.parametrize("opaque", [0, 65535])
def test_16_bit_alpha_that_is_the_same_everywhere_is_none(opaque: int) -> None:
    values = np.full((6, 5, 4), opaque, np.uint16)
    values[:, :, :3] = np.arange(90, dtype=np.uint16).reshape(6, 5, 3) * 700
    found = decode(cv2.imencode(".png", values)[1].tobytes())
    expected = (values[:, :, 2::-1].astype(int) * 255 + 32767) // 65535
    assert (found.pixels == expected).all()


@pytest.mark.parametrize(
    "trailer",
    [b"\xff\xda", b"\xff\xd9\xff\xda\xff", bytes(4096), b"\xff" * 50, b"vendor\xff\xda\x00\x08"],
)
@pytest.mark.parametrize("kind", ["jpg", "jpg progressive", "png", "bmp", "gif"])
def test_what_a_vendor_writes_behind_the_picture_is_not_read(kind: str, trailer: bytes) -> None:
    data = by_kind()[kind]
    assert (decode(data + trailer).pixels == decode(data).pixels).all()


@pytest.mark.parametrize("alpha", [0, 1, 128, 255])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_alpha_that_is_the_same_everywhere_is_none(alpha: int, kind: str) -> None:
    picture = COLOUR.convert("RGBA")
    picture.putalpha(alpha)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = decode(encoded(picture, kind, **options))
    assert (found.pixels == photograph()).all()
    assert bool(found.notes) == (alpha < 255 and kind != "BMP"), "Pillow writes no alpha to BMP"


def test_other_alpha_is_laid_over_white_and_said() -> None:
    picture = pillow.new("RGBA", (2, 1), (10, 20, 30, 255))
    picture.putpixel((1, 0), (10, 20, 30, 0))
    found = decode(encoded(picture, "PNG"))
    assert found.pixels[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert "transparent" in found.notes[0]


def wide(kind: str, bits: int, colour: bool) -> bytes:
    grey = photograph() if colour else photograph()[:, :, 0]
    values = (grey.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    values.flat[0] = (1 << bits) - 1
    return bytes(cv2.imencode(kind, values)[1].tobytes())


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", [".png", ".tif", ".pgm"])
@pytest.mark.parametrize("colour", [False, True])
def test_wide_pixels_are_scaled_by_the_bits_they_use(kind: str, bits: int, colour: bool) -> None:
    if kind == ".pgm" and colour:
        kind = ".ppm"
    data = wide(kind, bits, colour)
    expected = photograph()[:, :, ::-1] if colour else np.repeat(photograph()[:, :, :1], 3, axis=2)
    for found in (decode(data), decode(data, bits)):
        close = np.abs(found.pixels.astype(int) - expected)
        close[0, 0] = 0
        assert close.max() <= 1
        assert found.bits == bits
    assert not decode(data, bits).notes
    assert bool(decode(data).notes) == (bits < 16)


@pytest.mark.parametrize("kind", [".png", ".tif", ".pgm"])
def test_pixels_above_the_bit_depth_are_refused_and_not_made_white(kind: str) -> None:
    data = wide(kind, 14, False)
    with pytest.raises(TooDeepError, match="use 14 bits, but a bit depth of 12") as raised:
        decode(data, 12)
    assert raised.value.bits == 14
    assert decode(data, 16).pixels.max() < 70


@pytest.mark.parametrize(("greatest", "bits"), [(1023, 10), (4095, 12), (100, 7), (1000, 10)])
def test_a_stated_greatest_value_is_white_whatever_the_depth(greatest: int, bits: int) -> None:
    kind: type = np.uint8 if greatest < 256 else np.dtype(">u2")  # type: ignore[assignment]
    data = b"P5 2 1 %d\n" % greatest + np.array([greatest, greatest // 2], kind).tobytes()
    found = decode(data, 8)
    assert found.pixels[0, 0, 0] == 255
    assert abs(int(found.pixels[0, 1, 0]) - 127) <= 1
    assert (found.bits, found.guessed) == (bits, False)


def test_a_value_above_the_stated_greatest_is_damage() -> None:
    with pytest.raises(UndecodableImageError, match="above the stated 4095"):
        decode(b"P5 1 1 4095\n" + b"\x10\x00")


def test_white_is_zero_in_16_bits_too() -> None:
    values = np.array([[0, 65535]], np.uint16)
    data = bytearray(encoded(pillow.fromarray(values), "TIFF"))
    at = data.index(struct.pack("<HHL", 262, 3, 1))
    data[at + 8] = 0
    assert decode(bytes(data)).pixels[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("values", [[-1, 5], [0, 70000]])
def test_32_bit_values_that_16_bits_do_not_hold_are_refused(values: list[int]) -> None:
    data = encoded(pillow.fromarray(np.array([values], np.int32)), "TIFF")
    with pytest.raises(UndecodableImageError, match="no defined range"):
        decode(data)


@pytest.mark.parametrize("kind", ["mpo", "apng", "gif animated", "webp animated", "tif pages"])
def test_of_several_pages_the_first_is_read_and_that_is_said(kind: str) -> None:
    found = decode(by_kind()[kind])
    assert found.notes == ("the first of 2 pages or frames is read",)
    close = np.abs(found.pixels.astype(int) - photograph()[:, :, :: -1 if "tif" in kind else 1])
    assert close.mean() < 12


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(pillow.new("RGB", (9000, 9000)), "PNG"), "bomb"),
        (encoded(pillow.new("RGB", (9000, 9000)), "TIFF", compression="tiff_lzw"), "bomb|not in"),
        (b"P5 60000 60000 255\n", "megapixels"),
        (b"P4 99999 1999\n", "bomb"),
        (b"P4 9999 1999\n", "not in"),
    ],
)
def test_what_would_take_far_more_memory_than_a_photograph_is_refused(
    data: bytes, reason: str
) -> None:
    with pytest.raises(UndecodableImageError, match=reason):
        decode(data)


@pytest.mark.parametrize("kind", ["jpg", "jpg progressive", "png", "bmp grey"])
def test_a_size_that_the_bytes_cannot_hold_is_refused(kind: str) -> None:
    data = by_kind()[kind]
    for old, new in ((b"\x00\x60", b"\x60\x60"), (b"\x60\x00", b"\x60\x60")):
        changed = data.replace(old, new, 1)
        if changed != data:
            with pytest.raises(UndecodableImageError):
                decode(changed)


def tiff(entries: list[tuple[int, int, int, int]], body: bytes, count: int | None = None) -> bytes:
    rows = b"".join(struct.pack("<HHLL", *entry) for entry in sorted(entries))
    head = b"II*\0" + struct.pack("<L", 8 + len(body)) + body
    return head + struct.pack("<H", count or len(entries)) + rows + bytes(4)


SIZE = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (262, 3, 1, 1), (278, 4, 1, 1)]


@cache
def hostile() -> dict[str, bytes]:
    """Structures that would keep a careless reader busy for minutes."""
    bomb = zlib.compress(bytes(1 << 26), 9)
    over = struct.pack("<64L", *[8] * 64) + struct.pack("<64L", *[2000] * 64)
    text = struct.pack(">HH", 0xFFFE, 2)
    chunk = b"\0\0\0\0teXt" + struct.pack(">L", zlib.crc32(b"teXt"))
    return {
        "a strip that inflates to 64 MiB": tiff(
            [*SIZE[:4], (259, 3, 1, 8), (273, 4, 1, 8), (278, 4, 1, 64), (279, 4, 1, len(bomb))],
            bomb,
        ),
        "64 strips over each other": tiff(
            [*SIZE, (259, 3, 1, 8), (273, 4, 64, 8), (279, 4, 64, 8 + 256)], over + bytes(2000)
        ),
        "a million JPEG segments": b"\xff\xd8" + text * 1_000_000,
        "a million PNG chunks": SIGNATURE + by_kind()["png"][8:33] + chunk * 1_000_000,
    }


@pytest.mark.parametrize("name", sorted(hostile()))
def test_structures_that_keep_a_reader_busy_are_refused(name: str) -> None:
    with pytest.raises(UndecodableImageError, match="truncated or damaged"):
        decode(hostile()[name])


def test_mutations_of_every_kind_raise_nothing_else() -> None:
    found = run(1200, seed=11)
    assert not found.others
    assert found.decoded > 100
    assert found.refused > 100


@pytest.mark.slow
def test_20_000_mutations_raise_nothing_else_and_stay_small() -> None:
    found = run(20_000)
    assert not found.others
    assert found.memory_mib < 200


RIGHT = {
    "exif_rotated6_ImageWidth_as_rational.jpg": (160, 120),
    "exif_rotated6_tag_010f_type11_x1.jpg": (160, 120),
    "exif_rotated6_tag_011a_type6_x1.jpg": (160, 120),
    "exif_rotated6_tag_0128_type1_x1.jpg": (160, 120),
    "trailing_data_with_FFDA.jpg": (120, 160),
    "bmp32_alpha_all_zero.bmp": (120, 160),
    "mono16_with_12_significant_bits.png": (120, 160),
    "mono16_with_12_significant_bits.tif": (120, 160),
    "multipage.tif": (120, 160),
}
REFUSED = ("jpeg_hole_of_1400_bytes_in_middle.jpg", "jpeg_lost_60_to_100pct_then_eoi.jpg")


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_files_that_people_met_are_read(name: str, shared: Path) -> None:
    found = decode((shared / "cases" / "images" / name).read_bytes())
    assert found.pixels.shape == (*RIGHT[name], 3)
    assert 90 < found.pixels.mean() < 160


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_people_met_are_refused(name: str, shared: Path) -> None:
    pytest.importorskip("simplejpeg")
    with pytest.raises(UndecodableImageError, match="Corrupt JPEG data"):
        decode((shared / "cases" / "images" / name).read_bytes())
