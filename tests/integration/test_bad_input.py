"""Whatever a camera, a PLC or a producer sends: the part is decided and the next one is fine."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from andon.wiring.storage import image_store
from lab.datasets.folders import Sample
from lab.harness.balance import Balance, OnKafka
from lab.harness.line import LineOptions
from lab.harness.plan import LinePlan, PlayedPart
from lab.harness.settle import settle
from lab.harness.topics_reader import read_topic
from lab.plc.ledger import LedgerEntry, read_ledger
from streams.codes import Action, DecisionSource, ReasonCode
from streams.envelope import from_message, to_message
from streams.events import DeadLetter, Decision, Frame
from streams.topics import DEAD, FRAMES
from tests.integration.conftest import Plant

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

UNDECODABLE = ("truncated", "empty", "text")
DECODABLE = ("sixteen", "rgba", "pixel", "huge", "nine_mib")
SERIALS = (
    "'; DROP TABLE decision; --",
    "two\nlines\tand\ttabs",
    "🧵 pärt №7 \u202e",
    "x" * 500,
)


def pictures(folder: Path, good: Path) -> dict[str, Path]:
    """The hostile files."""
    rng = np.random.default_rng(1)
    image = cv2.imread(str(good))
    sixteen = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 257
    alpha = np.dstack([image, np.full(image.shape[:2], 128, np.uint8)])
    encoded = {
        "truncated": good.read_bytes()[: good.stat().st_size // 2],
        "empty": b"",
        "text": b"this is no picture\n",
        "sixteen": _png(sixteen),
        "rgba": _png(alpha),
        "pixel": _png(np.zeros((1, 1, 3), np.uint8)),
        "huge": cv2.imencode(".jpg", cv2.resize(image, (8000, 5000)))[1].tobytes(),
        "nine_mib": _png(rng.integers(0, 256, (1600, 2000, 3), dtype=np.uint8)),
    }
    assert len(encoded["nine_mib"]) > 8 << 20
    files = {}
    for name, data in encoded.items():
        files[name] = folder / f"{name}.png"
        files[name].write_bytes(data)
    return files


def _png(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()


@dataclass
class Played:
    """What the run left behind."""

    ledger: dict[str, LedgerEntry]
    decisions: dict[str, Decision]
    kafka: OnKafka
    balance: Balance
    letters: list[DeadLetter]
    plant: Plant


@pytest.fixture(scope="module")
def played(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """One run: every hostile picture, serial and product, a good part after each."""
    folder = tmp_path_factory.mktemp("bad")
    good = [p.photograph for p in plant.plan.parts if p.photograph.label == "good"]
    parts = []
    for index, (name, path) in enumerate(pictures(folder, good[0].path).items()):
        parts.append(PlayedPart(name, Sample(path, "good", False, group=name)))
        parts.append(PlayedPart(f"after-{name}", good[index]))
    parts += [PlayedPart(serial, good[20 + i]) for i, serial in enumerate(SERIALS)]
    parts.append(PlayedPart("stranger", good[30], product="no such product"))
    parts.append(PlayedPart("after-stranger", good[31]))
    plan = LinePlan(plant.plan.product, plant.plan.train, {}, tuple(parts))
    line = plant.line(folder / "line", plan, LineOptions(takt_s=0.7, window_s=12.0))
    try:
        line.start()
        asyncio.run(send_broken_events(plant))
        line.play()
        ledger = read_ledger(line.ledger)
        kafka, balance = asyncio.run(
            settle(plant.stack.settings(), ledger, len(parts), shared_broker=True)
        )
        letters = asyncio.run(dead_letters(plant))
    finally:
        line.stop()
    return Played(
        {part.part_id: part for part in ledger},
        {d.part_id: d for d in kafka.decisions if not d.is_late},
        kafka,
        balance,
        letters,
        plant,
    )


async def send_broken_events(plant: Plant) -> None:
    """Frames that no gateway of ours would send."""
    from datetime import UTC, datetime, timedelta

    from streams.envelope import Message
    from streams.ids import new_frame_id
    from streams.kafka.connection import KafkaConnection
    from streams.kafka.publisher import KafkaPublisher

    now = datetime.now(UTC)
    frame = Frame(
        frame_id=new_frame_id(),
        line="elsewhere",
        station="s",
        product_id=plant.plan.product,
        part_id="broken",
        plc_boot_id=77,
        trigger_seq=1,
        captured_at=now,
        deadline=now + timedelta(seconds=30),
        result_window_ms=30_000,
        size_bytes=1,
        sha256="0",
    )
    whole = to_message(frame, b"x")
    headers = dict(whole.headers)
    broken = [
        headers | {"ce_type": b"andon.frame.v2"},
        {k: v for k, v in headers.items() if k != "ce_partid"},
        headers | {"ce_deadline": b"tomorrow"},
        {},
    ]
    kafka = plant.stack.settings().kafka
    publisher = KafkaPublisher(KafkaConnection(kafka.bootstrap_servers, request_timeout_s=5))
    try:
        for changed in broken:
            message = Message(whole.key, whole.value, tuple(changed.items()))
            await publisher.send(FRAMES.name, message)
    finally:
        await publisher.stop()


async def dead_letters(plant: Plant) -> list[DeadLetter]:
    servers = plant.stack.settings().kafka.bootstrap_servers
    records = [r async for r in read_topic(servers, [DEAD.name])]
    return [from_message(DeadLetter, r.value, r.headers) for r in records]


def test_every_part_is_decided_and_nothing_is_lost(played: Played) -> None:
    assert not played.balance.lost
    assert not played.balance.acted_twice
    assert played.balance.decided == played.balance.parts


@pytest.mark.parametrize("name", UNDECODABLE)
def test_what_cannot_be_decoded_is_held_with_a_reason(played: Played, name: str) -> None:
    decision = played.decisions[name]
    assert decision.action is Action.HOLD
    assert decision.reason_code is ReasonCode.UNDECODABLE_IMAGE
    letter = next(x for x in played.letters if x.frame_id == decision.frame_id)
    assert letter.error


@pytest.mark.parametrize("name", [*DECODABLE, *SERIALS, *(f"after-{n}" for n in UNDECODABLE)])
def test_what_can_be_decoded_is_decided_normally(played: Played, name: str) -> None:
    assert played.ledger[name].source in (DecisionSource.EXPERT, DecisionSource.CLASSIFIER)


def test_a_large_picture_goes_by_reference(played: Played) -> None:
    frame_id = played.decisions["nine_mib"].frame_id

    async def stored() -> bytes:
        from streams.ids import frame_key

        store = image_store(played.plant.stack.settings())
        try:
            return await store.get(frame_key(frame_id))
        finally:
            await store.close()

    assert len(asyncio.run(stored())) > 8 << 20


def test_an_unknown_product_is_held_and_named(played: Played) -> None:
    decision = played.decisions["stranger"]
    assert decision.action is Action.HOLD
    assert decision.reason_code in (ReasonCode.UNKNOWN_PRODUCT, ReasonCode.NO_ARTIFACT)
    assert played.ledger["after-stranger"].source != DecisionSource.FALLBACK


def test_broken_events_are_dead_letters_that_name_the_reason(played: Played) -> None:
    malformed = ReasonCode.MALFORMED_EVENT.name
    errors = [letter.error for letter in played.letters if letter.error_type == malformed]
    assert len(errors) == 4
    for expected in ("andon.frame.v2", "part_id: Field", "deadline: Input", "ce_type is missing"):
        assert any(expected in error for error in errors), (expected, errors)
