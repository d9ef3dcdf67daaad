"""Confirmed reviews as lessons: what people said of parts, with the pictures that were kept."""

from collections import Counter

from andon.learning.reading import each_frame, label_of, painted_in, reviewed_picture
from history.filters import FrameFilter
from history.queries import History
from serving.naming.teaching import Lesson
from streams.ports import ImageStore


async def reviewed_lessons(
    history: History,
    store: ImageStore,
    wanted: FrameFilter,
    class_name: str | None = None,
    limit: int = 20,
) -> list[Lesson]:
    """Lessons from the frames of ``wanted`` that a person named, newest first.

    The review's class counts, not the classifier's. Frames whose picture is gone, and reviews
    that name no class or call the part normal, teach nothing.

    Args:
        class_name: only reviews that name this class.
        limit: most lessons of one class.

    Raises:
        UnavailableError: the database or the object store is down.
    """
    lessons: list[Lesson] = []
    taken: Counter[str] = Counter()
    async for record in each_frame(history, wanted):
        name = label_of(record)
        if not name or (class_name is not None and name != class_name) or taken[name] >= limit:
            continue
        picture = await reviewed_picture(record, name, store, await painted_in(history, [record]))
        if picture is None:
            continue
        said = f"frame {picture.frame}"
        lessons.append(
            Lesson(name, picture.image, picture.outline, picture.part, said, picture.drawn)
        )
        taken[name] += 1
        if class_name is not None and taken[name] >= limit:
            break
    return lessons
