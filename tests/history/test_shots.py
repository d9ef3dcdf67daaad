"""A part with several shots: one row, one story, every picture."""

from pathlib import Path

import pytest

from history.pictures import region_of, save_pictures
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource, ReasonCode, Severity
from streams.events import Decision, ShotSummary, ShotVerdict
from streams.ids import image_key, mask_key
from tests.console.make import app_of, client_of
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history import make

PART = make.frame_id(1)
GOOD, ODD, LATE = (make.verdict(1, shot) for shot in (1, 2, 3))


def summary(shot: int, verdict: ShotVerdict | None, action: Action) -> ShotSummary:
    return ShotSummary(
        shot=shot,
        name=verdict.shot_name if verdict else "",
        frame_id=verdict.frame_id if verdict else None,
        source=DecisionSource.EXPERT if verdict else DecisionSource.FALLBACK,
        severity=Severity.UNKNOWN,
        action=action,
        reason_code=ReasonCode.NORMAL,
        score=1.5 if verdict else None,
    )


def joined() -> Decision:
    """The part's decision: the second shot is odd, the third came too late."""
    shots = (
        summary(1, GOOD, Action.PASS),
        summary(2, ODD, Action.SCRAP),
        summary(3, None, Action.HOLD),
    )
    return make.decision(1, action=Action.SCRAP, part_frame_id=PART, shots_expected=3, shots=shots)


async def recorded(writer: PostgresHistoryWriter) -> None:
    await writer.add_verdicts([LATE, GOOD, ODD])
    await writer.add_decisions([joined()])
    fields = {"part_frame_id": PART, "shot": 2, "shots_expected": 3}
    await writer.add_anomalies([make.anomaly(1, frame_id=ODD.frame_id, **fields)])


@pytest.mark.asyncio
async def test_all_shots_are_in_the_story_whichever_frame_is_asked_for(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await recorded(writer)
    (frame,) = (await history.list_frames()).frames
    assert (frame.frame_id, frame.action) == (PART, "scrap")
    for asked in (GOOD, ODD, LATE):
        story = await history.show(asked.frame_id)
        assert story.frame_id == PART
        assert len(story.verdicts) == 3
        first, second, third = story.shots
        assert (first.name, first.source, first.image_key) == ("side1", "expert", None)
        assert (second.frame_id, second.action) == (ODD.frame_id, "scrap")
        assert second.image_key == image_key(ODD.frame_id)
        assert second.mask_key == mask_key(ODD.frame_id)
        assert (third.frame_id, third.source) == (LATE.frame_id, "missing")
        assert story.shown == ODD.frame_id  # the only picture that is kept
        assert region_of(story) is not None
        assert region_of(story, GOOD.frame_id) is None
    assert (await history.stats()).frames == 1


@pytest.mark.asyncio
async def test_a_part_that_the_watchdog_decided_still_shows_its_shots(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_verdicts([ODD])
    await writer.add_decisions(
        [make.decision(1, DecisionSource.WATCHDOG, Action.HOLD, part_frame_id=PART)]
    )
    story = await history.show(PART)
    assert [(s.shot, s.name, s.frame_id) for s in story.shots] == [(2, "side2", ODD.frame_id)]


@pytest.mark.asyncio
async def test_the_pictures_of_all_shots_are_saved(
    writer: PostgresHistoryWriter, history: History, tmp_path: Path
) -> None:
    await recorded(writer)
    store = InMemoryImageStore()
    await store.put(image_key(ODD.frame_id), b"\x89PNG no picture", "image/png")
    await store.put(mask_key(ODD.frame_id), b"\x89PNG", "image/png")
    story = await history.show(PART)
    saved = await save_pictures(story, store, tmp_path)
    assert [path.name for path in saved] == [f"{ODD.frame_id}.png", f"{ODD.frame_id}-mask.png"]


@pytest.mark.asyncio
async def test_the_api_gives_the_picture_of_the_frame_that_is_named(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await recorded(writer)
    fields = {"part_frame_id": PART, "shots_expected": 3}
    await writer.add_anomalies([make.anomaly(1, frame_id=GOOD.frame_id, reason="audit", **fields)])
    store = InMemoryImageStore()
    for frame in (GOOD, ODD):
        await store.put(image_key(frame.frame_id), b"\x89PNG" + frame.frame_id.bytes, "image/png")
    async with client_of(app_of(history, store)) as client:
        for frame in (GOOD, ODD):
            found = await client.get(f"/api/frames/{frame.frame_id}/image")
            assert found.content == b"\x89PNG" + frame.frame_id.bytes
        story = (await client.get(f"/api/frames/{LATE.frame_id}")).json()
    assert [shot["shot"] for shot in story["shots"]] == [1, 2, 3]
    assert [shot["image_key"] is not None for shot in story["shots"]] == [True, True, False]
