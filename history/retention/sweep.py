"""Removes the objects whose time is over: by days, so that nothing is held but one day's names."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from history.object_store import S3Objects
from history.records import Record
from history.retention.rules import DataClass, PartTrace, RetentionDays, days_before, expired
from streams.ids import DEAD_PREFIX, FRAMES_PREFIX, INSPECTIONS_PREFIX

Asked = Callable[[Sequence[UUID]], Iterable[PartTrace]]
"""Asks the history about frames; blocks."""
Told = Callable[[DataClass, str, int], None]
"""Is called with a class of data, a day or prefix, and how many objects were removed of it."""
_AT_ONCE = 1000


class SweptObjects(Record):
    """What was removed, or would be."""

    removed: dict[DataClass, int]
    """Objects of each class."""
    is_trial: bool
    """Nothing was removed: this is what would be."""


def sweep(
    objects: S3Objects,
    ask: Asked,
    days: RetentionDays,
    now: datetime,
    told: Told,
    is_trial: bool = False,
) -> SweptObjects:
    """Remove every object whose class is kept for less long than it is there.

    It may be stopped and run again at any time.

    Args:
        objects: the line's bucket, with the right to remove.
        ask: what the history knows about frames; one that it leaves out counts as not passed.
        days: how long each class is kept.
        now: the time, with a zone.
        told: is called after each day.
        is_trial: remove nothing, only count.

    Raises:
        UnavailableError: the object store or the history does not answer.
        PermanentError: the key may not remove.
    """
    counts = dict.fromkeys(DataClass, 0)

    def remove(kind: DataClass, where: str, keys: list[str]) -> None:
        if keys and not is_trial:
            objects.remove(keys)
        counts[kind] += len(keys)
        told(kind, where, len(keys))

    for kind, where, keys in _over(objects, ask, days, now):
        remove(kind, where, keys)
    return SweptObjects(removed=counts, is_trial=is_trial)


def _over(
    objects: S3Objects, ask: Asked, days: RetentionDays, now: datetime
) -> Iterator[tuple[DataClass, str, list[str]]]:
    pictures = (DataClass.PASSED, DataClass.STOPPED, DataClass.REVIEWED)
    if (ends := days.ends(pictures, now)) is not None:
        for folder in days_before(_day_folders(objects, INSPECTIONS_PREFIX), ends, now):
            keys = _by_frame(objects.keys(folder))
            for some in _slices(list(keys), _AT_ONCE):
                for kind, frames in expired(_traced(ask, some), days, now).items():
                    yield kind, folder, [key for frame in frames for key in keys[frame]]
    if (ends := days.ends([DataClass.CAPTURED], now)) is not None:
        for folder in days_before(_day_folders(objects, FRAMES_PREFIX), ends, now):
            written = objects.keys(folder)
            yield DataClass.CAPTURED, folder, _written_before(written, ends)
    if (ends := days.ends([DataClass.DEAD], now)) is not None:
        yield DataClass.DEAD, DEAD_PREFIX, _written_before(objects.keys(DEAD_PREFIX), ends)


def _traced(ask: Asked, frames: Sequence[UUID]) -> Iterator[PartTrace]:
    known = {trace.frame_id: trace for trace in ask(frames)}
    for frame_id in frames:
        yield known.get(frame_id) or PartTrace(frame_id=frame_id, action=None, is_reviewed=False)


def _by_frame(keys: Iterable[str]) -> dict[UUID, list[str]]:
    """``inspections/2026/11/23/<frame>/image`` by its frame; a name of another kind is left."""
    found: dict[UUID, list[str]] = {}
    for key in keys:
        try:
            frame_id = UUID(key.split("/")[4])
        except (ValueError, IndexError):
            continue
        found.setdefault(frame_id, []).append(key)
    return found


def _day_folders(objects: S3Objects, prefix: str) -> Iterator[str]:
    for year in objects.folders(prefix):
        for month in objects.folders(year):
            yield from objects.folders(month)


def _written_before(written: dict[str, float], ends: datetime) -> list[str]:
    return [key for key, at in written.items() if datetime.fromtimestamp(at, UTC) < ends]


def _slices(frames: list[UUID], size: int) -> Iterator[list[UUID]]:
    for start in range(0, len(frames), size):
        yield frames[start : start + size]
