"""Confirmed reviews as lessons: what people said of parts, with the pictures that were kept."""

from contextlib import suppress

from history.filters import FrameFilter
from history.queries import History
from history.records import FrameRecord
from serving.experts.errors import UndecodableImage
from serving.experts.images import decode_image
from serving.naming.base import RESERVED
from serving.naming.teaching import Lesson
from streams.ports import ImageStore
from streams.regions import Mask

_PAGE = 200


async def reviewed_lessons(
    history: History,
    store: ImageStore,
    wanted: FrameFilter,
    class_name: str | None = None,
    limit: int = 20,
) -> list[Lesson]:
    """Lessons from the frames of ``wanted`` that a person named, newest first.

    The review's class counts, not the classifier's. Frames whose picture is gone, and reviews
    that name no class, teach nothing.

    Args:
        class_name: only reviews that name this class.
        limit: most lessons of one class.

    Raises:
        UnavailableError: the database or the object store is down.
    """
    lessons: list[Lesson] = []
    taken: dict[str, int] = {}
    cursor: str | None = None
    while True:
        page = await history.list_frames(wanted, _PAGE, cursor)
        for record in page.frames:
            name = record.review.class_name if record.review else ""
            if not name or name in RESERVED or (class_name is not None and name != class_name):
                continue
            if taken.get(name, 0) < limit and (lesson := await _lesson(record, name, store)):
                lessons.append(lesson)
                taken[name] = taken.get(name, 0) + 1
        cursor = page.next_cursor
        if cursor is None or (class_name is not None and taken.get(class_name, 0) >= limit):
            return lessons


async def _lesson(record: FrameRecord, name: str, store: ImageStore) -> Lesson | None:
    image, drawn = await _get(store, record.image_key), await _get(store, record.mask_key)
    if image is None:
        return None
    mask: Mask | None = None
    with suppress(UndecodableImage):
        mask = decode_image(drawn)[:, :, 0] > 127 if drawn is not None else None
    part = record.part_id or str(record.frame_id)
    return Lesson(name, image, mask, part, f"frame {record.frame_id}", drawn=False)


async def _get(store: ImageStore, key: str | None) -> bytes | None:
    with suppress(KeyError):
        return await store.get(key) if key else None
    return None
