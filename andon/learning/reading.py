"""Reads what people said of parts, with the pictures that were kept."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from andon.learning.lessons import ReviewedPicture
from history.filters import FrameFilter
from history.queries import History
from history.records import FrameRecord
from serving.experts.errors import UndecodableImage
from serving.experts.images import decode_image
from serving.naming.base import RESERVED
from streams.codes import Severity
from streams.errors import MalformedEventError
from streams.events import Region
from streams.ids import image_key
from streams.ports import ImageStore
from streams.regions import Mask, region_mask

log = logging.getLogger(__name__)

_PAGE = 200
Painted = Mapping[UUID, tuple[UUID, Region]]
"""The frame that a reviewer painted on and the region, by review."""


@dataclass(frozen=True)
class Reviews:
    """The reviewed photographs of a product, and what could not be used."""

    pictures: list[ReviewedPicture]
    left_out: dict[str, int]
    """How many reviews were left out, by reason."""


async def read_reviews(history: History, store: ImageStore, wanted: FrameFilter) -> Reviews:
    """Every reviewed frame of ``wanted`` whose picture is kept: anomalies and the audit sample.

    A person's word is the label: a class for a defect, the severity ``normal`` for a good part.

    Raises:
        UnavailableError: the database or the object store is down.
    """
    pictures: list[ReviewedPicture] = []
    left_out: Counter[str] = Counter()
    async for record in each_frame(history, wanted):
        label = label_of(record)
        if label is None:
            left_out["the review names no class and is not normal"] += 1
            continue
        picture = await reviewed_picture(record, label, store, await painted_in(history, [record]))
        if picture is None:
            left_out["no picture is kept"] += 1
        else:
            pictures.append(picture)
    return Reviews(pictures, dict(left_out))


async def each_frame(history: History, wanted: FrameFilter) -> AsyncIterator[FrameRecord]:
    """The frames of ``wanted``, newest first, a page at a time.

    Raises:
        UnavailableError: the database is down.
    """
    cursor: str | None = None
    while True:
        page = await history.list_frames(wanted, _PAGE, cursor)
        for record in page.frames:
            yield record
        cursor = page.next_cursor
        if cursor is None:
            return


def label_of(record: FrameRecord) -> str | None:
    """The class that a person named, empty for a normal part, None where neither was said."""
    if record.review is None:
        return None
    return label_of_words(record.review.severity, record.review.class_name)


def label_of_words(severity: str, class_name: str) -> str | None:
    """The same of what a review says.

    >>> label_of_words("defect", "crack"), label_of_words("normal", "")
    ('crack', '')
    """
    if severity == Severity.NORMAL:
        return ""
    return class_name if class_name and class_name not in RESERVED else None


async def painted_in(history: History, records: Sequence[FrameRecord]) -> Painted:
    """What the latest reviewers of the records painted, by review.

    Raises:
        UnavailableError: the database is down.
    """
    reviews = [r.review.review_id for r in records if r.review is not None and r.review.class_name]
    return await history.painted(reviews) if reviews else {}


async def reviewed_picture(
    record: FrameRecord, label: str, store: ImageStore, painted: Painted | None = None
) -> ReviewedPicture | None:
    """The photograph and outline under a label; None where no picture is kept.

    The outline is what the reviewer painted, on the photograph of the part that was painted on;
    else what the expert outlined.

    Raises:
        UnavailableError: the object store is down.
    """
    told = (painted or {}).get(record.review.review_id) if record.review is not None else None
    image = await _get(store, record.image_key if told is None else image_key(told[0]))
    if image is None:
        return None
    drawn, outline = await _get(store, record.mask_key), None
    try:
        if told is not None:
            outline = region_mask(told[1])
        else:
            outline = _mask(drawn) if drawn is not None else None
    except (UndecodableImage, MalformedEventError) as error:
        log.warning("the mask of %s teaches nothing: %s", record.frame_id, error)
    return ReviewedPicture(
        frame=str(record.frame_id),
        part=record.part_id or str(record.frame_id),
        at=record.captured_at,
        class_name=label,
        image=image,
        outline=outline,
        drawn=told is not None and outline is not None,
        action=record.action,
    )


def _mask(drawn: bytes) -> Mask:
    found: Mask = decode_image(drawn)[:, :, 0] > 127
    return found


async def _get(store: ImageStore, key: str | None) -> bytes | None:
    with suppress(KeyError):
        return await store.get(key) if key else None
    return None
