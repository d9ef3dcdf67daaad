"""The mqtt role over twins: which events, which topics, which order, what is set aside."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codes import Stage
from streams.envelope import to_message
from streams.events import Acknowledgement, Alert, Event
from streams.kafka.delivery import Delivery
from streams.roles.mqtt import MqttConfig, MqttRole
from streams.roles.mqtt_core import announced_part, level, without_measures
from streams.topics import ACKS, ALERTS, DEAD, DECISIONS, Topic
from tests.contracts.twins.announcer import TwinAnnouncer
from tests.streams.conftest import Bench
from tests.streams.roles.limits_policy import decision

MakeBench = Callable[..., Bench]
CONFIG = MqttConfig("plant", site="aachen", area="hall 2")
SLIM = 2500
"""Bytes of a decision without its outline, at most."""


def role(bench: Bench, announcer: TwinAnnouncer) -> MqttRole:
    return MqttRole(announcer, bench.results, CONFIG)


def delivery(topic: Topic, event: Event, offset: int = 0) -> Delivery:
    message = to_message(event)
    return Delivery(topic.name, 0, offset, message.key, message.value, message.headers, 0.0, 1)


def alert(**changes: object) -> Alert:
    fields: dict[str, object] = {
        "alert_id": uuid4(),
        "line": "press",
        "product_id": "tile",
        "limit": "many",
        "reason": "3 of 20 parts were scrapped",
        "raised_at": datetime.now(UTC),
    }
    return Alert.model_validate(fields | changes)


@pytest.mark.asyncio
async def test_a_decision_goes_under_its_place_without_its_outline(bench: MakeBench) -> None:
    announcer, made = TwinAnnouncer(most_bytes=SLIM), bench(Stage.MQTT)
    one = decision(site="aachen", area="", line="press/1", station="cam+1", part_id="P-1")
    await role(made, announcer).handle(delivery(DECISIONS, one))
    ((topic, payload),) = announcer.announced
    assert topic == "plant/aachen/_/press_1/cam_1/decision"
    said = json.loads(payload)
    assert said["part_id"] == "P-1"
    assert said["line"] == "press/1"
    assert said["action"] == "scrap"
    assert said["inspection"]["region"] is None
    assert said["inspection"]["score"] == 2.0


@pytest.mark.asyncio
async def test_what_became_of_it_and_alerts_have_topics_of_their_own(bench: MakeBench) -> None:
    announcer, made = TwinAnnouncer(most_bytes=SLIM), bench(Stage.MQTT)
    one = decision(site="aachen")
    fields = one.model_dump(include=set(Acknowledgement.model_fields))
    told = Acknowledgement.model_validate(fields | {"outcome": "acknowledged", "result_seq": 7})
    to = role(made, announcer)
    await to.handle(delivery(ACKS, told))
    await to.handle(delivery(ALERTS, alert()))
    await to.handle(delivery(ALERTS, alert(station="cam-1")))
    place = f"plant/aachen/_/{one.line}/{one.station}"
    assert [topic for topic, _ in announcer.announced] == [
        f"{place}/acknowledgement",
        "plant/aachen/hall 2/press/alert",
        "plant/aachen/hall 2/press/cam-1/alert",
    ]
    assert json.loads(announcer.announced[0][1])["outcome"] == "acknowledged"


def test_a_decision_that_never_stood_is_not_announced() -> None:
    assert announced_part("plant", decision(is_late=True)) is None
    assert announced_part("plant", decision(is_late=False)) is not None


@pytest.mark.asyncio
async def test_those_of_a_station_stay_in_order_while_the_broker_comes_and_goes(
    bench: MakeBench,
) -> None:
    announcer = TwinAnnouncer(most_bytes=SLIM, down_for=3)
    to = role(bench(Stage.MQTT), announcer)
    parts = [decision(part_id=f"P-{n}") for n in range(12)]
    async with asyncio.TaskGroup() as group:
        for n, one in enumerate(parts):
            group.create_task(to.handle(delivery(DECISIONS, one, n)))
            if n == 6:
                await asyncio.sleep(0)
                announcer.down_for = 2
    said = [json.loads(payload)["part_id"] for _, payload in announcer.announced]
    assert said == [one.part_id for one in parts]


@pytest.mark.asyncio
async def test_what_is_refused_or_unreadable_is_a_dead_letter_and_costs_no_other(
    bench: MakeBench,
) -> None:
    announcer, made = TwinAnnouncer(most_bytes=SLIM), bench(Stage.MQTT)
    to = role(made, announcer)
    await to.handle(delivery(DECISIONS, decision(reason="x" * 2000, rule="y" * 500)))
    good = delivery(DECISIONS, decision(part_id="P-2"))
    await to.handle(Delivery(DECISIONS.name, 0, 1, b"k", b"{", good.headers, 0.0, 1))
    await to.handle(good)
    assert [json.loads(payload)["part_id"] for _, payload in announcer.announced] == ["P-2"]
    letters = made.publisher.of(DEAD.name)
    assert [letter.error_type for letter, _ in letters] == [  # type: ignore[attr-defined]
        "TOO_LARGE",
        "MalformedEventError",
    ]
    assert {letter.stage for letter, _ in letters} == {Stage.MQTT}  # type: ignore[attr-defined]


@given(st.text(max_size=200))
def test_every_name_is_one_level_that_may_be_published(name: str) -> None:
    found = level(name)
    assert found
    assert not set(found) & set("/+#\0")
    assert not found.startswith("$")
    assert level(found) == found


def test_the_outline_and_the_candidates_alone_are_left_out() -> None:
    one = decision()
    kept, whole = without_measures(one).model_dump(), one.model_dump()
    assert whole["inspection"].pop("region")
    assert kept["inspection"].pop("region") is None
    assert kept == whole
