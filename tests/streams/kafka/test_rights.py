"""What a client lacks of its role's rights is judged from the bits that the broker tells."""

import pytest

from infra.stack.broker import Broker
from streams.kafka import rights
from streams.kafka.connection import KafkaConnection
from streams.kafka.rights import Lacking, RightsError, find_lacking, judge, needed, require_rights
from streams.kafka.topic_admin import ensure_topics
from streams.principals import ACCESS, Operation, Role

READ, WRITE, DESCRIBE = 1 << 3, 1 << 4, 1 << 8


@pytest.mark.parametrize("role", Role)
def test_a_role_that_may_do_all_lacks_nothing(role: Role) -> None:
    assert judge(role, dict.fromkeys(ACCESS, READ | WRITE), READ) == []


@pytest.mark.parametrize("role", Role)
def test_a_role_that_may_only_look_lacks_all_that_it_needs(role: Role) -> None:
    lacking = judge(role, dict.fromkeys(ACCESS, DESCRIBE), None)
    assert [(one.what, one.operation) for one in lacking] == [
        (f"topic {topic}", operation) for topic, operation in needed(role)
    ]


def test_one_right_less_is_named() -> None:
    told = {**dict.fromkeys(ACCESS, READ | WRITE), "andon.decisions": WRITE}
    assert list(map(str, judge(Role.LIMITS, told, DESCRIBE))) == [
        "Read on topic andon.decisions",
        "Read on consumer group andon-limits",
    ]


def test_a_broker_that_does_not_say_and_a_topic_that_is_not_there_are_no_refusal() -> None:
    assert judge(Role.INSPECT, {}, None) == []
    assert judge(Role.INSPECT, dict.fromkeys(ACCESS, -(1 << 31)), -(1 << 31)) == []
    assert judge(Role.INSPECT, dict.fromkeys(ACCESS, 0), 0) == []
    assert Operation.READ in dict(needed(Role.INSPECT)).values()


@pytest.mark.asyncio
async def test_the_embedded_broker_keeps_nobody_from_work(broker: Broker) -> None:
    connection, said = KafkaConnection(broker.bootstrap_servers), list[str]()

    def log(event: str, **fields: object) -> None:
        said.append(event)

    await ensure_topics(connection)
    await require_rights(connection, Role.RECORD, log)
    assert await find_lacking(connection, Role.RECORD) == []
    assert not said


@pytest.mark.asyncio
@pytest.mark.parametrize("others", [[], [Lacking(Operation.READ, "topic andon.frames")]])
async def test_who_may_not_tell_how_it_is_works_on(
    monkeypatch: pytest.MonkeyPatch, others: list[Lacking]
) -> None:
    status = Lacking(Operation.WRITE, "topic andon.status")
    said: list[str] = []

    async def lacking(connection: KafkaConnection, role: Role) -> list[Lacking]:
        return [status, *others]

    def log(event: str, **fields: object) -> None:
        said.append(event)

    monkeypatch.setattr(rights, "find_lacking", lacking)
    asked = require_rights(KafkaConnection("127.0.0.1:1"), Role.INSPECT, log)
    if not others:
        await asked
    else:
        with pytest.raises(RightsError, match=r"Read on topic andon\.frames\.") as caught:
            await asked
        assert "andon.status" not in str(caught.value)
    assert said == ["may not say how it is"]
