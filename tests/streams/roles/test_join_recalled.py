"""What join knows of the verdicts that were acknowledged before it was killed."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from infra.stack.broker import Broker
from streams.codes import Action, Stage
from streams.envelope import to_message
from streams.errors import UnavailableError
from streams.ids import new_frame_id
from streams.kafka.connection import KafkaConnection
from streams.roles.join import JoinRole
from streams.roles.verdicts_before import VerdictsBefore
from streams.topics import DEAD, SHOTS
from tests.contracts.twins.policies import TwinPolicies
from tests.streams import made
from tests.streams.conftest import Bench
from tests.streams.roles.line import producer
from tests.streams.roles.test_join import CONFIG, Line, settled

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


class Topic:
    """What stands before an offset, told once ``told`` is set."""

    def __init__(self, parts: Mapping[int, UUID], is_away: bool = False) -> None:
        self.parts, self.is_away = parts, is_away
        self.told = asyncio.Event()
        self.asked: list[tuple[int, int]] = []

    async def __call__(self, partition: int, offset: int) -> Mapping[int, UUID]:
        self.asked.append((partition, offset))
        await self.told.wait()
        if self.is_away:
            raise UnavailableError("no broker")
        return {at: part for at, part in self.parts.items() if at < offset}


def line_of(bench: Callable[..., Bench], topic: Topic) -> Line:
    """Its first verdict stands at 13 of the topic."""
    found = bench(Stage.JOIN)
    return Line(found, JoinRole(TwinPolicies(), found.results, CONFIG, topic), offset=12)


@pytest.mark.asyncio
async def test_a_decided_part_is_not_decided_again_by_those_of_its_verdicts_that_come_again(
    bench: Callable[..., Bench],
) -> None:
    """Another part was open, so that only the verdicts before its own were acknowledged."""
    decided, open_ = new_frame_id(), new_frame_id()
    topic = Topic({11: decided, 12: decided})
    line = line_of(bench, topic)
    topic.told.set()
    fields = made.roomy(open_)
    tasks = [line.deliver(made.verdict(1, **fields))]  # type: ignore[arg-type]
    late = made.verdict(3, part_frame_id=decided, deadline=LONG_AGO)
    await settled(line.deliver(late))  # acknowledged at once, and not when it is overdue
    tasks += [line.deliver(made.verdict(n, **fields)) for n in (2, 3)]  # type: ignore[arg-type]
    await settled(*tasks)
    assert [(d.frame_id, d.action) for d in line.decisions()] == [(open_, Action.PASS)]
    assert topic.asked == [(0, 13)], "once for the partition"
    await line.role.close()


@pytest.mark.asyncio
async def test_a_verdict_that_is_delivered_is_of_no_decided_part_whatever_is_handled_first(
    bench: Callable[..., Bench],
) -> None:
    part, other = new_frame_id(), new_frame_id()
    topic = Topic({12: other, 13: part, 14: part})
    line = line_of(bench, topic)
    line.offset = 14
    tasks = [line.deliver(made.verdict(3, **made.roomy(part)))]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    line.offset = 12
    tasks += [line.deliver(made.verdict(n, **made.roomy(part))) for n in (1, 2)]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    topic.told.set()
    await settled(*tasks)
    assert [(d.frame_id, d.action) for d in line.decisions()] == [(part, Action.PASS)]
    await line.role.close()


@pytest.mark.asyncio
async def test_a_broker_that_tells_nothing_of_before_holds_up_no_part(
    bench: Callable[..., Bench],
) -> None:
    part = new_frame_id()
    topic = Topic({11: part}, is_away=True)
    line = line_of(bench, topic)
    topic.told.set()
    shots = [made.verdict(n, **made.roomy(part)) for n in (1, 2, 3)]  # type: ignore[arg-type]
    await settled(*(line.deliver(one) for one in shots))
    assert len(line.decisions()) == 1
    await line.role.close()


@pytest.mark.asyncio
async def test_a_new_generation_while_it_is_asked_leaves_nothing_to_the_one_before(
    bench: Callable[..., Bench],
) -> None:
    part = new_frame_id()
    topic = Topic({})
    line = line_of(bench, topic)
    shots = [made.verdict(n, **made.roomy(part)) for n in (1, 2, 3)]  # type: ignore[arg-type]
    before = [line.deliver(one) for one in shots[:2]]
    await asyncio.sleep(0)
    after = [line.deliver(one, generation=2) for one in shots]
    await settled(*before)
    topic.told.set()
    await settled(*after)
    assert len(line.decisions()) == 1
    assert not line.bench.publisher.of(DEAD.name)
    await line.role.close()


@pytest.mark.asyncio
async def test_the_topic_tells_the_parts_of_the_verdicts_before_an_offset(broker: Broker) -> None:
    parts = [new_frame_id() for _ in range(3)]
    messages = [to_message(made.verdict(n, part_frame_id=p)) for p in parts for n in (1, 2)]
    no_verdict = to_message(made.verdict(4, expected=3, part_frame_id=parts[2]))
    async with producer(broker.bootstrap_servers) as via:
        sent = [
            await via.send_and_wait(
                SHOTS.name, one.value, key=one.key, headers=list(one.headers), partition=0
            )
            for one in (*messages[:3], no_verdict, *messages[3:])
        ]
    offsets = [record.offset for record in sent]
    before = VerdictsBefore(KafkaConnection(broker.bootstrap_servers), most=5)
    found = await before.parts(0, offsets[-1])
    wanted = zip(offsets[1:6], [parts[0], parts[1], None, parts[1], parts[2]], strict=True)
    assert found == {at: part for at, part in wanted if part is not None}
    assert await before.parts(0, 0) == {}
