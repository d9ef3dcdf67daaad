"""The record role over twins: nothing acknowledged before it is stored."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from streams.codes import AckOutcome, Action, DecisionSource, ReasonCode, Severity, Stage
from streams.envelope import Message
from streams.errors import UnavailableError
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    DeadLetter,
    Decision,
    Inspection,
    Review,
    decision_id,
)
from streams.ids import dead_letter_key, image_key, mask_key, new_frame_id
from streams.kafka.delivery import Delivery, dead_letter
from streams.regions import region_mask
from streams.roles.record import RecordRole
from streams.topics import DEAD
from tests.contracts.twins.history_writer import TwinHistory
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.streams.conftest import Bench
from tests.streams.made import ODD, delivery, frame, inspection
from tests.waiting import until

MakeBench = Callable[..., Bench]


class ShakyStore(InMemoryImageStore):
    """Away until told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        if self.down:
            raise UnavailableError("S3 is away")
        await super().put(key, body, content_type)


@dataclass
class Recording:
    bench: Bench
    role: RecordRole
    history: TwinHistory
    store: ShakyStore


@pytest.fixture
def recording(bench: MakeBench) -> Recording:
    b, history, store = bench(Stage.RECORD, retry_cap_s=0.05), TwinHistory(), ShakyStore()
    role = RecordRole(history, store, b.results, batch_wait_s=0.02)
    return Recording(b, role, history, store)


def decision(part: str = "P-1") -> Decision:
    shot = frame(part_id=part)
    fields = shot.model_dump(include=set(Decision.model_fields))
    return Decision(
        **fields,
        result_id=decision_id(shot.frame_id, DecisionSource.EXPERT),
        source=DecisionSource.EXPERT,
        evaluation="OK",
        severity=Severity.NORMAL,
        action=Action.PASS,
        reason_code=ReasonCode.NORMAL,
        decided_at=shot.captured_at,
    )


def arrived(message: Message) -> Delivery:
    return Delivery(DEAD.name, 0, 0, message.key, message.value, message.headers)


@pytest.mark.asyncio
async def test_an_anomaly_is_kept_with_picture_mask_and_row(recording: Recording) -> None:
    anomaly = Anomaly(frame=frame(), inspection=inspection(True))
    await recording.role.handle(delivery(anomaly, ODD))
    frame_id = anomaly.frame.frame_id
    assert await recording.store.get(image_key(frame_id)) == ODD
    mask = np.asarray(Image.open(io.BytesIO(await recording.store.get(mask_key(frame_id)))))
    assert anomaly.inspection.region is not None
    assert mask.dtype == np.uint8
    assert np.array_equal(mask == 255, region_mask(anomaly.inspection.region))
    assert recording.history.anomalies == {(frame_id, anomaly.reason): anomaly}
    await recording.role.close()


@pytest.mark.asyncio
async def test_a_picture_by_reference_is_copied(recording: Recording) -> None:
    await recording.store.put("frames/large", b"large", "image/png")
    anomaly = Anomaly(frame=frame(b"large", dataref="frames/large"), inspection=inspection(False))
    await recording.role.handle(delivery(anomaly, b""))
    assert await recording.store.get(image_key(anomaly.frame.frame_id)) == b"large"
    await recording.role.close()


@pytest.mark.asyncio
async def test_a_reference_to_another_object_is_a_dead_letter(recording: Recording) -> None:
    await recording.store.put("dead/0190", b"secret", "image/png")
    stolen = frame(b"secret", dataref="dead/0190")
    await recording.role.handle(delivery(Anomaly(frame=stolen, inspection=inspection(False)), b""))
    assert not await recording.store.exists(image_key(stolen.frame_id))
    assert recording.history.anomalies == {}
    await recording.role.close()


@pytest.mark.asyncio
async def test_every_kind_of_event_is_stored(recording: Recording) -> None:
    made = decision()
    ack = Acknowledgement(
        **made.model_dump(include=set(Acknowledgement.model_fields)),
        outcome=AckOutcome.ACKNOWLEDGED,
    )
    review = Review(
        review_id=new_frame_id(),
        frame_id=made.frame_id,
        reviewer="Ada",
        severity=Severity.NORMAL,
        reviewed_at=made.decided_at,
    )
    letter = dead_letter(delivery(frame(), b"raw"), Stage.INSPECT, "E", "why", made.decided_at)
    alert = Alert(
        alert_id=new_frame_id(),
        line="line-1",
        product_id="tile",
        limit="many",
        reason="too many",
        raised_at=made.decided_at,
    )
    events = (delivery(made), delivery(ack), delivery(review), delivery(alert), arrived(letter))
    for item in events:
        await recording.role.handle(item)
    history = recording.history
    assert history.decisions == {made.result_id: made}
    assert len(history.acks) == len(history.reviews) == 1
    assert history.alerts == {alert.alert_id: alert}
    ((kept, key),) = history.letters.values()
    assert key == dead_letter_key(kept.letter_id)
    assert await recording.store.get(key) == b"raw"
    await recording.role.close()


@pytest.mark.asyncio
async def test_many_events_are_few_writes(recording: Recording) -> None:
    made = [decision() for _ in range(300)]
    await asyncio.gather(*(recording.role.handle(delivery(d)) for d in made))
    assert set(recording.history.decisions) == {d.result_id for d in made}
    assert recording.history.writes == [200, 100]
    await recording.role.close()


@pytest.mark.asyncio
async def test_a_database_that_is_away_is_waited_for(recording: Recording) -> None:
    recording.history.down = True
    task = asyncio.create_task(recording.role.handle(delivery(decision())))
    await until(lambda: recording.bench.value("andon_retries_total", what="history") >= 3)
    assert not task.done()
    recording.history.down = False
    await asyncio.wait_for(task, 5)
    assert recording.bench.logged == ["away", "back"], "one line per change, not per retry"
    assert len(recording.history.decisions) == 1
    await recording.role.close()


@pytest.mark.asyncio
async def test_without_its_picture_an_anomaly_has_no_row(recording: Recording) -> None:
    recording.store.down = True
    anomaly = Anomaly(frame=frame(), inspection=inspection(True))
    waiting = asyncio.create_task(recording.role.handle(delivery(anomaly, ODD)))
    await until(lambda: recording.bench.value("andon_retries_total", what="objects") >= 2)
    assert not recording.history.anomalies
    await recording.role.handle(delivery(decision()))
    assert len(recording.history.decisions) == 1, "decisions do not wait for S3"
    recording.store.down = False
    await asyncio.wait_for(waiting, 5)
    assert len(recording.history.anomalies) == 1
    await recording.role.close()


@pytest.mark.asyncio
async def test_one_refused_row_does_not_block_the_others(recording: Recording) -> None:
    recording.history.refuses = "poison"
    parts = ["P-1", "poison", "P-2"]
    await asyncio.gather(*(recording.role.handle(delivery(decision(p))) for p in parts))
    assert {d.part_id for d in recording.history.decisions.values()} == {"P-1", "P-2"}
    ((letter, _),) = recording.bench.publisher.of(DEAD.name)
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.error_type) == (Stage.RECORD, "ValueError")
    await recording.role.close()


@pytest.mark.asyncio
async def test_what_does_not_validate_is_a_dead_letter_once(recording: Recording) -> None:
    bad = replace(delivery(decision()), value=b"{")
    await recording.role.handle(bad)
    ((letter, value),) = recording.bench.publisher.of(DEAD.name)
    assert isinstance(letter, DeadLetter)
    assert letter.error_type == "MALFORMED_EVENT"
    assert value == b"{"
    recording.bench.publisher.sent.clear()
    await recording.role.handle(Delivery(DEAD.name, 0, 0, b"", b"x", ()))
    assert not recording.bench.publisher.sent, "a bad dead letter must not breed"
    await recording.role.close()


@pytest.mark.asyncio
async def test_closing_leaves_what_was_not_stored_unacknowledged(recording: Recording) -> None:
    recording.history.down = True
    task = asyncio.create_task(recording.role.handle(delivery(decision())))
    await until(lambda: recording.bench.value("andon_retries_total", what="history") >= 1)
    await recording.role.close()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_an_inspection_without_a_region_has_no_mask() -> None:
    from streams.roles.record_core import recorded

    assert isinstance(inspection(False), Inspection)
    kept = recorded(delivery(Anomaly(frame=frame(), inspection=inspection(False)), b"x"))
    assert [o.content_type for o in kept.objects] == ["image/png"]
    assert kept.objects[0].body == b"x"
