"""The three pictures: order, size, contour, crop."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image as pillow

from serving.experts.errors import UndecodableImage
from serving.experts.images import decode_image
from serving.naming.references import RandomReferences
from serving.naming.settings import VisualSettings
from serving.naming.visual import EgressError, PromptPictures, crop_box, full_mask, make_pictures
from tests.lab.llm_twin.kit import crack, png, pore, region_of, surface


def decoded(pictures: PromptPictures) -> list[np.ndarray]:
    return [decode_image(item) for item in pictures.items]


def red(picture: np.ndarray) -> np.ndarray:
    return np.asarray((picture[..., 0] == 255) & (picture[..., 1] == 0) & (picture[..., 2] == 0))


def test_reference_query_outlined_each_448() -> None:
    image, mask = crack()
    reference = np.full_like(image, 200)
    pictures = make_pictures(png(image), png(reference), region_of(mask))
    first, second, third = decoded(pictures)
    assert [p.shape for p in (first, second, third)] == [(448, 448, 3)] * 3
    assert (first == 200).all()
    assert not red(second).any()
    line = red(third)
    assert line.any()
    assert (third[~line] == second[~line]).all()


def test_the_contour_encloses_the_region_at_any_mask_resolution() -> None:
    image, mask = crack()
    for coarse in (1, 4):
        third = decoded(make_pictures(png(image), None, region_of(mask, coarse)))[1]
        ys, xs = np.nonzero(red(third))
        height, width = image.shape[:2]
        slack = 448 / min(height, width) * coarse
        assert ys.min() == pytest.approx(55 * 448 / height, abs=slack + 2)
        assert ys.max() == pytest.approx(65 * 448 / height, abs=slack + 2)
        assert xs.min() == pytest.approx(30 * 448 / width, abs=slack + 2)
        assert xs.max() == pytest.approx(130 * 448 / width, abs=slack + 2)


def test_a_region_at_the_border_stays_visible() -> None:
    image = surface(0)
    mask = np.zeros(image.shape[:2], dtype=np.bool_)
    mask[:20, :20] = True
    assert red(decoded(make_pictures(png(image), None, region_of(mask)))[1]).sum() > 100


def test_a_hairline_survives_the_shrinking() -> None:
    image = surface(0, 2000, 2000)
    mask = np.zeros((2000, 2000), dtype=np.bool_)
    mask[1000, 200:1800] = True
    assert red(decoded(make_pictures(png(image), None, region_of(mask)))[1]).any()


def test_parts_switch_pictures_off() -> None:
    image, mask = crack()
    assert len(make_pictures(png(image), None, region_of(mask)).items) == 2
    alone = make_pictures(png(image), None, region_of(mask), visual_prompt=False)
    assert len(alone.items) == 1
    assert not alone.has_reference


def test_zoom_is_a_fourth_picture_of_the_region() -> None:
    image, mask = pore()
    settings = VisualSettings(zoom=True)
    pictures = make_pictures(png(image), png(image), region_of(mask), settings)
    assert pictures.layout.zoom
    fourth = decoded(pictures)[3]
    assert (fourth < 40).mean() > 3 * (decoded(pictures)[1] < 40).mean()


def test_numbers_are_written_only_when_asked() -> None:
    image, mask = crack()
    plain = decoded(make_pictures(png(image), None, region_of(mask)))[1]
    settings = VisualSettings(numbered=True)
    numbered = decoded(make_pictures(png(image), None, region_of(mask), settings))[1]
    assert (plain != numbered).any()


def test_a_crop_shows_nothing_but_the_surroundings() -> None:
    image, mask = surface(0, 400, 400), np.zeros((400, 400), dtype=np.bool_)
    mask[180:220, 180:220] = True
    image[:100] = (0, 255, 0)
    pictures = make_pictures(png(image), png(image), region_of(mask), cropped=True)
    assert pictures.layout.cropped
    for picture in decoded(pictures):
        green = (picture[..., 1] > 200) & (picture[..., 0] < 50)
        assert not green.any()
    left, top, right, bottom = crop_box(mask, VisualSettings())
    assert (right - left, bottom - top) == (64, 64)


def test_a_crop_of_nearly_everything_does_not_leave() -> None:
    image = surface(0)
    whole = np.ones(image.shape[:2], dtype=np.bool_)
    with pytest.raises(EgressError, match="100% of the picture"):
        make_pictures(png(image), None, region_of(whole), cropped=True)
    with pytest.raises(EgressError):
        make_pictures(png(image), None, None, cropped=True)


def test_no_metadata_travels_along() -> None:
    image, mask = crack()
    exif = pillow.Exif()
    exif[0x010E] = "plant 7, operator Jane"
    buffer = io.BytesIO()
    pillow.fromarray(image).save(buffer, "JPEG", exif=exif)
    assert b"Jane" in buffer.getvalue()
    for encoding in ("png", "jpeg"):
        settings = VisualSettings(encoding=encoding)
        for item in make_pictures(buffer.getvalue(), None, region_of(mask), settings).items:
            assert b"Jane" not in item


def test_jpeg_keeps_the_line_red() -> None:
    image, mask = crack()
    settings = VisualSettings(encoding="jpeg")
    third = decoded(make_pictures(png(image), None, region_of(mask), settings))[1]
    assert ((third[..., 0] > 200) & (third[..., 1] < 70) & (third[..., 2] < 70)).sum() > 200


def test_bytes_that_are_no_image() -> None:
    with pytest.raises(UndecodableImage):
        make_pictures(b"not an image", None, None)


def test_without_a_region_the_whole_picture_is_the_region() -> None:
    assert full_mask(None, 4, 5).all()


def test_random_references_are_drawn_by_the_query() -> None:
    normals = [png(surface(i)) for i in range(8)]
    provider = RandomReferences({"p": normals}, seed=3)
    drawn = [provider.reference("p", bytes([i])) for i in range(40)]
    assert drawn == [provider.reference("p", bytes([i])) for i in range(40)]
    assert len(set(drawn)) > 3
    assert provider.reference("other", b"x") is None


@pytest.mark.parametrize("cropped", [False, True])
@pytest.mark.parametrize("bright", ["query", "reference"])
def test_16_bit_pictures_are_as_bright_beside_each_other_as_they_were(
    bright: str, cropped: bool
) -> None:
    dark = np.full((400, 400), 500, np.uint16)
    glint = dark.copy()
    glint[0, 0] = 4000
    plain, other = (cv2.imencode(".png", pixels)[1].tobytes() for pixels in (dark, glint))
    query, reference = (other, plain) if bright == "query" else (plain, other)
    mask = np.zeros((400, 400), dtype=np.bool_)
    mask[180:220, 180:220] = True
    shown = make_pictures(query, reference, region_of(mask), visual_prompt=False, cropped=cropped)
    assert [int(np.median(picture)) for picture in decoded(shown)] == [31, 31]
