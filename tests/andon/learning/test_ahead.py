"""What a verdict will teach is what ``andon learn`` would draw."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from andon.learning.ahead import LessonsOfHistory
from andon.learning.lessons import MOST_PER_CLASS
from console.review.lessons import SaidOfPart, Teaches
from history.filters import FrameFilter
from history.records import FrameRecord, Page, ReviewSummary
from streams.codes import Severity

START = datetime(2026, 11, 1, tzinfo=UTC)
pytestmark = pytest.mark.asyncio


def record(number: int, severity: str, name: str, image: str | None = "image") -> FrameRecord:
    review = ReviewSummary(
        review_id=UUID(int=number),
        reviewer="Ada",
        class_name=name,
        severity=severity,
        reviewed_at=START,
    )
    return FrameRecord.model_construct(
        frame_id=UUID(int=number),
        captured_at=START + timedelta(hours=number),
        part_id=f"P{number}",
        image_key=image,
        review=review,
    )


class Reviewed:
    """A history of reviewed parts; counts how often it is asked."""

    def __init__(self, *frames: FrameRecord) -> None:
        self.frames, self.asked = frames, 0

    async def list_frames(self, wanted: FrameFilter, limit: int, cursor: str | None) -> Page:
        self.asked += 1
        assert wanted.reviewed
        return Page.model_construct(frames=self.frames, next_cursor=None)


def judged(number: int, severity: Severity, name: str = "") -> SaidOfPart:
    return SaidOfPart(
        frame_id=UUID(int=number),
        product_id="tile",
        part_id=f"P{number}",
        captured_at=START + timedelta(hours=number),
        severity=severity,
        class_name=name,
    )


async def test_a_verdict_is_an_example_a_normal_or_nothing() -> None:
    seen = Reviewed(
        record(1, "defect", "crack"),
        record(2, "normal", ""),
        record(3, "defect", "crack", image=None),
        record(4, "unknown", "unknown"),
    )
    lessons = LessonsOfHistory(seen)  # type: ignore[arg-type]
    before = await lessons.of_product("tile")
    assert (dict(before.classes), before.normals) == ({"crack": 1}, 1)
    crack = await lessons.of_verdict(judged(5, Severity.DEFECT, "crack"))
    assert (crack.teaches, crack.class_name, crack.drawn) == (Teaches.EXEMPLAR, "crack", 2)
    normal = await lessons.of_verdict(judged(6, Severity.NORMAL))
    assert (normal.teaches, normal.drawn) == (Teaches.NORMAL, 2)
    nothing = await lessons.of_verdict(judged(7, Severity.UNKNOWN))
    assert nothing.teaches is Teaches.NOTHING
    nameless = await lessons.of_verdict(judged(8, Severity.DEFECT))
    assert nameless.teaches is Teaches.NOTHING
    after = await lessons.of_product("tile")
    assert (dict(after.classes), after.normals) == ({"crack": 2}, 2)
    assert seen.asked == 1
    corrected = await lessons.of_verdict(judged(1, Severity.NORMAL))
    assert (corrected.teaches, corrected.drawn) == (Teaches.NORMAL, 3)
    assert dict((await lessons.of_product("tile")).classes) == {"crack": 1}


async def test_newer_parts_of_a_full_class_are_drawn_and_older_ones_are_not() -> None:
    many = [record(number, "defect", "crack") for number in range(10, 10 + MOST_PER_CLASS)]
    lessons = LessonsOfHistory(Reviewed(*many))  # type: ignore[arg-type]
    old = await lessons.of_verdict(judged(1, Severity.DEFECT, "crack"))
    assert (old.teaches, old.drawn, old.most) == (Teaches.SPARE, MOST_PER_CLASS, MOST_PER_CLASS)
    new = await lessons.of_verdict(judged(500, Severity.DEFECT, "crack"))
    assert new.teaches is Teaches.EXEMPLAR


async def test_what_is_taken_back_is_read_again_and_so_is_what_is_old() -> None:
    now = 0.0
    seen = Reviewed(record(1, "defect", "crack"))
    lessons = LessonsOfHistory(seen, lambda: now)  # type: ignore[arg-type]
    one = judged(2, Severity.DEFECT, "crack")
    assert (await lessons.of_verdict(one)).drawn == 2
    lessons.forget(one)
    assert dict((await lessons.of_product("tile")).classes) == {"crack": 1}
    now += 3600
    await lessons.of_product("tile")
    assert seen.asked == 3
