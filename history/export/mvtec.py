"""Parts in the layout of MVTec AD, which most tools for anomaly detection read.

``PRODUCT/train/good``, ``PRODUCT/test/good``, ``PRODUCT/test/CLASS`` and
``PRODUCT/ground_truth/CLASS/NAME_mask.png``. Masks are the expert's regions: nobody drew them.
A name that no folder can have stands in the folder's ``class.txt``, and in ``manifest.jsonl``.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import cv2
import numpy as np

from history.export.folder import FolderNames, whole_folder
from history.export.pictures import GOOD, LabelledPart, labelled_parts
from history.records import FrameRecord
from streams.ports import ImageStore

_ABOUT = (
    "Labels are the latest review's, else the decision's. Masks are the regions that the vision "
    "expert found, enlarged to the picture; nobody drew them. Parts of one serial number stand on "
    "one side of the split."
)


async def write_mvtec(
    frames: AsyncIterator[FrameRecord],
    store: ImageStore,
    folder: Path,
    test_share: float = 0.2,
    progress: Callable[[], None] | None = None,
) -> dict[str, int]:
    """Write the parts with a kept picture; returns how many stand where.

    ``manifest.jsonl`` names each picture's part, label and whether a person gave it.

    Args:
        frames: the selection.
        store: where the pictures are.
        folder: new or empty.
        test_share: share of the good parts that go to ``test/good``, by serial number; the same
            parts at every export.
        progress: called once a part.

    Raises:
        HistoryError: the folder is not empty.
        UnavailableError: the object store does not answer.
    """
    counts: Counter[str] = Counter()
    with whole_folder(folder) as draft:
        manifest: list[str] = []
        products, classes = FolderNames(), FolderNames(GOOD)
        async for part in labelled_parts(frames, store):
            if progress is not None:
                progress()
            if part is None:
                counts["without a picture"] += 1
                continue
            product = products.of(part.frame.product_id)
            label = GOOD if part.label == GOOD else classes.of(part.label)
            place = Path(product, _side(part, test_share), label, f"{part.frame.frame_id}.png")
            await asyncio.to_thread(_write, draft, part, place)
            counts[place.parts[1]] += 1
            manifest.append(json.dumps(_line(part, place)) + "\n")
        for name, text in (("README.txt", _ABOUT + "\n"), ("manifest.jsonl", "".join(manifest))):
            await asyncio.to_thread((draft / name).write_text, text, encoding="utf-8")
    return dict(counts)


def _side(part: LabelledPart, test_share: float) -> str:
    frame = part.frame
    serial = f"{frame.product_id}/{frame.part_id or frame.frame_id}"
    drawn = int.from_bytes(hashlib.sha256(serial.encode()).digest()[:4]) / 2**32
    return "test" if part.label != GOOD or drawn < test_share else "train"


def _write(root: Path, part: LabelledPart, place: Path) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(part.png)
    if part.label == GOOD:
        return
    if path.parent.name != part.label:
        (path.parent / "class.txt").write_text(part.label + "\n", encoding="utf-8")
    mask = part.mask if part.mask is not None else np.zeros((part.height, part.width), np.bool_)
    product, _, label, name = place.parts
    target = root / product / "ground_truth" / label / name.replace(".png", "_mask.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(bytes(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1]))


def _line(part: LabelledPart, place: Path) -> dict[str, object]:
    frame = part.frame
    return {
        "file": place.as_posix(),
        "frame_id": str(frame.frame_id),
        "product": frame.product_id,
        "part_id": frame.part_id,
        "label": part.label,
        "reviewed": frame.review is not None,
        "has_region": part.mask is not None and bool(part.mask.any()),
    }
