"""Bytes to pixels: every kind of photograph, and one clear error for what is none."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

from serving.experts.errors import UndecodableImage
from serving.experts.images import decode_image


def encoded(picture: pillow.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


GREY = pillow.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_give_the_same_pixels(kind: str) -> None:
    found = decode_image(encoded(GREY, kind))
    assert found.shape == (6, 8, 3)
    assert found.dtype == np.uint8
    assert (found[:, :, 0] == np.asarray(GREY)).all()


def test_16_bit_is_scaled_from_its_full_range() -> None:
    wide = np.array([[0, 257, 32768, 65535]], np.uint16)
    found = decode_image(encoded(pillow.fromarray(wide)))
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


def test_alpha_is_laid_over_white() -> None:
    picture = pillow.new("RGBA", (2, 1), (10, 20, 30, 255))
    picture.putpixel((1, 0), (10, 20, 30, 0))
    assert decode_image(encoded(picture))[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_palette_images_keep_their_colours() -> None:
    picture = pillow.new("RGB", (4, 4), (200, 0, 0)).quantize(4)
    assert decode_image(encoded(picture))[0, 0].tolist() == [200, 0, 0]


def test_exif_orientation_is_applied() -> None:
    exif = pillow.Exif()
    exif[0x0112] = 6
    assert decode_image(encoded(GREY, "JPEG", exif=exif)).shape == (8, 6, 3)


def test_one_pixel_and_40_megapixels_are_images() -> None:
    assert decode_image(encoded(pillow.new("L", (1, 1), 7))).tolist() == [[[7, 7, 7]]]
    large = encoded(pillow.new("L", (8000, 5000), 9))
    assert decode_image(large).shape == (5000, 8000, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is no image", "text that begins"),
        (b"\x00\x01\x02\x03" * 9, "36 bytes"),
        (encoded(GREY)[:-20], "truncated"),
        (encoded(GREY, "JPEG")[: len(encoded(GREY, "JPEG")) // 2], "truncated"),
        (encoded(GREY, "TIFF")[:60], "truncated|not an image"),
        (encoded(pillow.new("F", (2, 2)), "TIFF"), "floating-point"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UndecodableImage, match=reason):
        decode_image(data)


def test_every_truncation_of_a_jpeg_is_refused_and_not_half_decoded() -> None:
    rng = np.random.default_rng(0)
    picture = pillow.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    whole = encoded(picture, "JPEG")
    for share in (0.1, 0.5, 0.9, 0.98):
        with pytest.raises(UndecodableImage):
            decode_image(whole[: int(len(whole) * share)])


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"])
)
def test_arbitrary_bytes_give_an_image_or_the_one_error(data: bytes, head: bytes) -> None:
    try:
        found = decode_image(head + data)
    except UndecodableImage:
        return
    assert found.ndim == 3
