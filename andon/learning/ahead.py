"""What the reviews so far would teach, told while people review. Nothing is learned by it."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from andon.learning.lessons import MOST_PER_CLASS, ReviewedPicture, choose
from andon.learning.reading import each_frame, label_of, label_of_words
from console.review.lessons import LessonAhead, ProductLessons, SaidOfPart, Teaches
from history.filters import FrameFilter
from history.queries import History

_KEPT_S: Final = 60.0
"""How long what was read of a product is taken for true; what is judged here is added to it."""
_MOST_READ: Final = 2000
"""The newest reviews that are looked at: far more than teach."""
_MOST_PRODUCTS: Final = 50


@dataclass
class _Known:
    """The reviewed pictures of a product, without their bytes, by frame."""

    read_at: float
    pictures: dict[str, ReviewedPicture] = field(default_factory=dict)


class LessonsOfHistory:
    """``console.review.lessons.LessonsAhead`` over the reviews in the history.

    Args:
        history: has the reviews.
        clock: seconds, never going back.
    """

    def __init__(self, history: History, clock: Callable[[], float] = time.monotonic) -> None:
        self._history, self._clock = history, clock
        self._known: dict[str, _Known] = {}

    async def of_product(self, product_id: str) -> ProductLessons:
        """How many photographs of each class would be drawn by now."""
        pictures = [*(await self._read(product_id)).pictures.values()]
        drawn = Counter(picture.class_name for picture in choose(pictures))
        normals = sum(not picture.is_defect for picture in pictures)
        return ProductLessons(
            product_id=product_id, classes=dict(drawn), normals=normals, most=MOST_PER_CLASS
        )

    async def of_verdict(self, judged: SaidOfPart) -> LessonAhead:
        """What a verdict will teach beside all others, itself counted among them from now on."""
        known = await self._read(judged.product_id)
        label = label_of_words(judged.severity, judged.class_name)
        if label is None:
            known.pictures.pop(str(judged.frame_id), None)
            return LessonAhead(teaches=Teaches.NOTHING)
        own = ReviewedPicture(
            frame=str(judged.frame_id),
            part=judged.part_id or str(judged.frame_id),
            at=judged.captured_at,
            class_name=label,
            image=b"",
        )
        known.pictures[own.frame] = own
        if not own.is_defect:
            normals = sum(not picture.is_defect for picture in known.pictures.values())
            return LessonAhead(teaches=Teaches.NORMAL, drawn=normals)
        chosen = [p for p in choose([*known.pictures.values()]) if p.class_name == label]
        return LessonAhead(
            teaches=Teaches.EXEMPLAR if own in chosen else Teaches.SPARE,
            class_name=label,
            drawn=len(chosen),
            most=MOST_PER_CLASS,
            is_painted=judged.is_painted,
        )

    def forget(self, judged: SaidOfPart) -> None:
        """The verdict was taken back: it is read again what was said before it."""
        self._known.pop(judged.product_id, None)

    async def _read(self, product_id: str) -> _Known:
        now = self._clock()
        known = self._known.get(product_id)
        if known is not None and now - known.read_at < _KEPT_S:
            return known
        known = _Known(now)
        wanted = FrameFilter(product=product_id, reviewed=True)
        read = 0
        async for record in each_frame(self._history, wanted):
            label, read = label_of(record), read + 1
            if label is not None and record.image_key is not None:
                frame = str(record.frame_id)
                part = record.part_id or frame
                known.pictures[frame] = ReviewedPicture(frame, part, record.captured_at, label, b"")
            if read >= _MOST_READ:
                break
        while len(self._known) >= _MOST_PRODUCTS:
            self._known.pop(next(iter(self._known)))
        self._known[product_id] = known
        return known
