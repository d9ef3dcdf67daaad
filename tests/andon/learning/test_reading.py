"""Reviews become labelled pictures; what cannot teach is counted by reason."""

import io
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest
from PIL import Image as pillow

from andon.learning.reading import label_of, read_reviews
from history.filters import FrameFilter
from history.records import FrameRecord, Page, ReviewSummary
from streams.events import Region
from streams.ids import image_key
from streams.regions import region_from_mask
from tests.contracts.twins.image_store import InMemoryImageStore

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def frame(severity: str, class_name: str, image_key: str | None = "image") -> FrameRecord:
    review = ReviewSummary(
        review_id=uuid4(),
        reviewer="Ada",
        class_name=class_name,
        severity=severity,
        reviewed_at=NOW,
    )
    return FrameRecord.model_construct(
        frame_id=uuid4(),
        captured_at=NOW,
        part_id="",
        action="pass",
        image_key=image_key,
        mask_key="mask" if image_key else None,
        review=review,
    )


class TwoPages:
    """As much of the history as is asked."""

    def __init__(self, frames: list[FrameRecord]) -> None:
        self.frames = frames
        self.painted_regions: dict[UUID, tuple[UUID, Region]] = {}

    async def painted(self, reviews: list[UUID]) -> dict[UUID, tuple[UUID, Region]]:
        return {one: self.painted_regions[one] for one in reviews if one in self.painted_regions}

    async def list_frames(
        self, wanted: FrameFilter | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        half = len(self.frames) // 2
        if cursor is None:
            return Page.model_construct(frames=tuple(self.frames[:half]), next_cursor="more")
        return Page.model_construct(frames=tuple(self.frames[half:]), next_cursor=None)


@pytest.mark.parametrize(
    ("severity", "class_name", "label"),
    [
        ("defect", "crack", "crack"),
        ("negligible", "scratch", "scratch"),
        ("normal", "", ""),
        ("normal", "crack", ""),
        ("defect", "", None),
        ("unknown", "unknown", None),
    ],
)
def test_a_review_s_label(severity: str, class_name: str, label: str | None) -> None:
    assert label_of(frame(severity, class_name)) == label


@pytest.mark.asyncio
async def test_reviewed_frames_with_a_picture_teach() -> None:
    drawn = np.zeros((8, 8), np.uint8)
    drawn[2:4] = 255
    body = io.BytesIO()
    pillow.fromarray(drawn).save(body, "PNG")
    store = InMemoryImageStore()
    await store.put("image", b"a picture", "image/png")
    await store.put("mask", body.getvalue(), "image/png")
    frames = [
        frame("defect", "crack"),
        frame("normal", ""),
        frame("defect", ""),
        frame("defect", "crack", None),
        frame("defect", "fray", "gone"),
    ]
    found = await read_reviews(TwoPages(frames), store, FrameFilter(product="tile"))
    crack, good = found.pictures
    assert (crack.class_name, good.class_name) == ("crack", "")
    assert UUID(crack.part) == frames[0].frame_id
    assert crack.outline is not None
    assert crack.outline.sum() == 16
    assert found.left_out == {
        "the review names no class and is not normal": 1,
        "no picture is kept": 2,
    }


@pytest.mark.asyncio
async def test_what_a_reviewer_painted_stands_before_the_expert_s_outline() -> None:
    shot = frame("defect", "crack")
    assert shot.review is not None
    painted_on = UUID("019ac000-0000-7000-8000-000000000000")
    mask = np.zeros((6, 6), np.bool_)
    mask[1:3, 2:5] = True
    history = TwoPages([frame("normal", ""), shot])
    history.painted_regions = {
        shot.review.review_id: (painted_on, region_from_mask(mask, 60, 60)),
    }
    store = InMemoryImageStore()
    await store.put("image", b"the first photograph", "image/png")
    await store.put(image_key(painted_on), b"the one painted on", "image/png")
    found = await read_reviews(history, store, FrameFilter(product="tile"))
    (crack,) = [p for p in found.pictures if p.is_defect]
    assert crack.image == b"the one painted on"
    assert crack.drawn
    assert crack.outline is not None
    assert np.array_equal(crack.outline, mask)
    (good,) = [p for p in found.pictures if not p.is_defect]
    assert not good.drawn
