"""The demo's report: one self-contained HTML file, every value escaped by the template engine."""

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import jinja2
import numpy as np

from lab.demo.summary import PartStory, Summary
from streams.codes import Action
from streams.errors import UndecodableImageError
from streams.images.decoding import decode
from streams.regions import decode_mask

PICTURE_PX = 220
"""Longest side of a picture in the report."""
MOST_PICTURES = 400
"""Parts of a section shown with a picture; the others are counted, and rows of the CSV."""
RED_BGR = (0, 0, 255)


def write_report(path: Path, summary: Summary, stories: Sequence[PartStory], title: str) -> None:
    """Write ``path``; pictures are embedded, nothing is loaded from elsewhere."""
    rejected = [s for s in stories if s.action is not Action.PASS]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("report.html.j2").render(
        title=title,
        summary=summary,
        figures=summary.as_json(),
        stories=stories,
        sections=[
            ("Defects that passed", len(summary.escaped), summary.escaped[:MOST_PICTURES]),
            ("Parts that did not pass", len(rejected), rejected[:MOST_PICTURES]),
        ],
        actions=[a.value for a in Action],
        picture=picture_with_region,
    )
    path.write_text(html, encoding="utf-8")


def picture_with_region(story: PartStory) -> str:
    """A data URL: the photograph, its odd region outlined in red. Empty if undecodable."""
    try:
        image = decode(story.picture.read_bytes()).pixels[:, :, ::-1]
    except (OSError, UndecodableImageError):
        return ""
    scale = PICTURE_PX / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    region = story.inspection.region if story.inspection else None
    if region is not None and region.mask_rle:
        mask = decode_mask(region.mask_rle, region.mask_height, region.mask_width).astype(np.uint8)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(image, contours, -1, RED_BGR, 1, cv2.LINE_AA)
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
