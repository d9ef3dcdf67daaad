"""Reviews become lessons: the person's word, the kept picture, the expert's region."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from andon.cli.reviewed_lessons import reviewed_lessons
from history.filters import FrameFilter
from history.records import FrameRecord, Page, ReviewSummary
from streams.events import Region
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.serving.naming.pictures import plate, png, spoiled

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Pages:
    """Answers ``list_frames`` from a list, two frames a page."""

    def __init__(self, frames: list[FrameRecord]) -> None:
        self.frames = frames
        self.painted_regions: dict[UUID, tuple[UUID, Region]] = {}

    async def painted(self, reviews: list[UUID]) -> dict[UUID, tuple[UUID, Region]]:
        return {one: self.painted_regions[one] for one in reviews if one in self.painted_regions}

    async def list_frames(self, wanted: FrameFilter, limit: int, cursor: str | None) -> Page:
        start = int(cursor or 0)
        more = start + 2 < len(self.frames)
        return Page(
            frames=tuple(self.frames[start : start + 2]),
            next_cursor=str(start + 2) if more else None,
        )


def frame(reviewed_as: str | None, **fields: Any) -> FrameRecord:
    frame_id: UUID = uuid4()
    values: dict[str, Any] = dict.fromkeys(FrameRecord.model_fields)
    values |= {
        "frame_id": frame_id,
        "result_id": uuid4(),
        "plc_boot_id": 1,
        "trigger_seq": 1,
        "reason_code": 0,
        "is_simulated": False,
        "is_late": False,
        "captured_at": NOW,
        "decided_at": NOW,
        "class_name": "crack",
        "part_id": "serial 7",
        "image_key": f"{frame_id}/image",
        "mask_key": f"{frame_id}/mask",
        "other_decisions": (),
        "review": None,
    }
    texts = "line station product_id lot_id source evaluation severity action reason rule"
    texts += " policy_hash expert_version classifier"
    values |= dict.fromkeys(texts.split(), "")
    if reviewed_as is not None:
        review = dict.fromkeys(ReviewSummary.model_fields, "") | {"class_name": reviewed_as}
        values["review"] = ReviewSummary.model_construct(**review)
    return FrameRecord.model_construct(**(values | fields))


async def kept(frames: list[FrameRecord]) -> InMemoryImageStore:
    store = InMemoryImageStore()
    for i, record in enumerate(frames):
        image, mask = spoiled("hole", i)
        drawn = np.repeat((mask * 255).astype(np.uint8)[:, :, None], 3, axis=2)
        if record.image_key:
            await store.put(record.image_key, png(image), "image/png")
        if record.mask_key:
            await store.put(record.mask_key, png(drawn), "image/png")
    return store


@pytest.mark.asyncio
async def test_the_reviewers_class_is_taught_with_the_experts_region() -> None:
    frames = [
        frame("hole"),
        frame(None),
        frame("unknown"),
        frame("normal"),
        frame(""),
        frame("line"),
    ]
    store = await kept(frames)
    lessons = await reviewed_lessons(Pages(frames), store, FrameFilter())  # type: ignore[arg-type]
    assert [lesson.class_name for lesson in lessons] == ["hole", "line"]
    image, mask = spoiled("hole", 0)
    assert lessons[0].image == png(image)
    assert np.array_equal(lessons[0].mask, mask)
    assert (lessons[0].part, lessons[0].drawn) == ("serial 7", False)


@pytest.mark.asyncio
async def test_what_was_not_kept_teaches_nothing_and_the_limit_holds() -> None:
    frames = [frame("hole", image_key=None), frame("hole", mask_key=None)]
    frames += [frame("hole") for _ in range(5)] + [frame("line")]
    store = await kept(frames)
    lessons = await reviewed_lessons(Pages(frames), store, FrameFilter(), limit=3)  # type: ignore[arg-type]
    assert [lesson.class_name for lesson in lessons] == ["hole"] * 3 + ["line"]
    assert lessons[0].mask is None
    only = await reviewed_lessons(Pages(frames), store, FrameFilter(), "line")  # type: ignore[arg-type]
    assert [lesson.class_name for lesson in only] == ["line"]


@pytest.mark.asyncio
async def test_a_mask_that_is_no_picture_is_left_out() -> None:
    frames = [frame("hole")]
    store = await kept(frames)
    await store.put(str(frames[0].mask_key), b"rubbish", "image/png")
    await store.put(str(frames[0].image_key), png(plate(1)), "image/png")
    (lesson,) = await reviewed_lessons(Pages(frames), store, FrameFilter())  # type: ignore[arg-type]
    assert lesson.mask is None
