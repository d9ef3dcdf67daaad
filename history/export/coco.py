"""Parts as a COCO data set: ``images/`` and ``annotations.json``, one annotation per odd piece.

Segmentations are the expert's regions in run-length encoding, enlarged to the picture.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from history.export.folder import whole_folder
from history.export.pictures import GOOD, LabelledPart, Mask, labelled_parts
from history.records import FrameRecord
from streams.ports import ImageStore
from streams.regions import encode_mask

_ABOUT = (
    "Categories are the latest review's class, else the decision's; segmentations are the regions "
    "that the vision expert found. Good parts have no annotation."
)


async def write_coco(
    frames: AsyncIterator[FrameRecord],
    store: ImageStore,
    folder: Path,
    progress: Callable[[], None] | None = None,
) -> dict[str, int]:
    """Write the parts with a kept picture; returns how many there are of what.

    Raises:
        HistoryError: the folder is not empty.
        UnavailableError: the object store does not answer.
    """
    counts: Counter[str] = Counter()
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    categories: dict[str, int] = {}
    with whole_folder(folder) as draft:
        await asyncio.to_thread((draft / "images").mkdir)
        async for part in labelled_parts(frames, store):
            if progress is not None:
                progress()
            if part is None:
                counts["without a picture"] += 1
                continue
            images.append(_image(part, len(images) + 1))
            name = str(images[-1]["file_name"])
            await asyncio.to_thread((draft / "images" / name).write_bytes, part.png)
            if part.label == GOOD:
                continue
            category = categories.setdefault(part.label, len(categories) + 1)
            for piece in _pieces(part.mask):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": images[-1]["id"],
                        "category_id": category,
                        **piece,
                    }
                )
        body = {
            "info": {"description": _ABOUT, "version": "1"},
            "images": images,
            "annotations": annotations,
            "categories": [{"id": n, "name": name} for name, n in categories.items()],
        }
        target = draft / "annotations.json"
        await asyncio.to_thread(target.write_text, json.dumps(body), encoding="utf-8")
    return {**counts, "images": len(images), "annotations": len(annotations)}


def _image(part: LabelledPart, number: int) -> dict[str, object]:
    frame = part.frame
    return {
        "id": number,
        "file_name": f"{frame.frame_id}.png",
        "height": part.height,
        "width": part.width,
        "date_captured": frame.captured_at.isoformat(),
        "product": frame.product_id,
        "part_id": frame.part_id,
        "label": part.label,
        "reviewed": frame.review is not None,
    }


def _pieces(mask: Mask | None) -> Iterator[dict[str, object]]:
    """Each connected piece: its run-length encoding, box and area in pixels."""
    if mask is None:
        return
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[number])
        rle = encode_mask(labels == number)
        yield {
            "segmentation": {"size": list(mask.shape), "counts": rle},
            "bbox": [x, y, width, height],
            "area": area,
            "iscrowd": 0,
        }
