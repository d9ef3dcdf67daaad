"""The limits role over a real broker: kill -9, a rebalance, duplicates; and down to the PLC."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from connectors.decision_feed import KafkaDecisionFeed
from connectors.handshake.signals import Signal
from infra.stack.broker import Broker
from streams.envelope import to_message
from streams.events import Alert, CountedPart, Decision
from streams.kafka.changelog import KafkaChangelog
from streams.kafka.connection import KafkaConnection
from streams.roles.limits import COUNTED_FROM
from streams.roles.runner import RoleRunner
from streams.topics import ALERTS, COUNTED, DECISIONS, PARTS
from tests.connectors.line import running_line
from tests.streams.roles.limits_policy import decision
from tests.streams.roles.limits_process import limits_config, limits_role
from tests.streams.roles.line import Reader, death_of, producer, reading, send, spawned
from tests.waiting import until

LINES, PRODUCTS, STATIONS, EACH = 3, 2, 4, 10


@asynccontextmanager
async def counting(servers: str, state: Path, instance: str) -> AsyncIterator[None]:
    """A limits worker in this process."""
    stop, ready = asyncio.Event(), asyncio.Event()
    config = limits_config(servers, state, instance)
    runner = RoleRunner(config, COUNTED_FROM, limits_role(servers), lambda *a, **k: None)
    task = asyncio.create_task(runner.run(stop, ready.set))
    try:
        await until(ready.is_set, 60, "the limits role")
        yield
    finally:
        stop.set()
        await task


def of_parts(seen: Reader) -> set[object]:
    return {e.frame_id for e in seen.of(COUNTED) if isinstance(e, CountedPart)}


async def remembered(servers: str) -> list[CountedPart]:
    """What a new worker would read of every partition."""
    changelog = KafkaChangelog(KafkaConnection(servers), lambda *a, **k: None)
    return [p for n in range(PARTS.partitions) for p in await changelog.read(n)]


@pytest.mark.asyncio
@pytest.mark.slow
async def test_kills_a_rebalance_and_duplicates_count_each_part_once(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """Every part of three lines is scrapped; decisions come twice, from several partitions."""
    servers = fresh_broker.bootstrap_servers
    shots: list[Decision] = [
        decision(line=f"line-{n % LINES}", product_id=f"tile-{p}", station=f"cam-{s}")
        for n in range(LINES * EACH)
        for p in range(PRODUCTS)
        for s in range(STATIONS)
    ]
    first, second = shots[: len(shots) // 2], shots[len(shots) // 2 :]
    async with reading(servers, COUNTED, ALERTS, PARTS) as seen, producer(servers) as via:
        for one in first:
            await send(via, DECISIONS, to_message(one))
        for kill_at in (25, 40):
            await death_of(spawned("limits_process", servers, tmp_path, kill_at), 120)
        async with counting(servers, tmp_path, "0"):
            await until(lambda: len(of_parts(seen)) >= 100, 60, "the worker goes on")
            async with counting(servers, tmp_path, "1"):
                for one in (*first, *second):
                    await send(via, DECISIONS, to_message(one))
                ids = {one.frame_id for one in shots}
                await until(lambda: of_parts(seen) == ids, 60, "every part counted by two")
        parts = Counter(e.frame_id for e in seen.of(PARTS) if isinstance(e, Decision))
    entries = await remembered(servers)
    assert max(parts.values()) > 1, "decisions were delivered more than once"
    assert len(entries) == len(shots)
    assert Counter(e.frame_id for e in entries) == Counter(ids)
    per_key = Counter((e.line, e.product_id) for e in entries)
    assert set(per_key.values()) == {EACH * STATIONS}
    alerts = [a for a in seen.of(ALERTS) if isinstance(a, Alert)]
    raised = {a.alert_id: (a.line, a.product_id) for a in alerts}
    assert Counter(raised.values()) == Counter(dict.fromkeys(per_key, 1))


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_limit_stops_the_line_until_the_operator_resets(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """Decisions to alert to StopRequest at the PLC; FaultReset clears it, and it stays clear."""
    servers = fresh_broker.bootstrap_servers
    feed = KafkaDecisionFeed(KafkaConnection(servers, fetch_max_wait_ms=10), "line1", "station1")
    asked: list[Alert] = []

    async with (
        counting(servers, tmp_path, "0"),
        running_line(tmp_path) as line,
        producer(servers) as via,
    ):
        await line.start_gateway()

        async def follow() -> None:
            async with aclosing(aiter(feed)) as events:
                async for event in events:
                    if isinstance(event, Alert):
                        asked.append(event)
                        line.bus.feed.tell(event)

        following = asyncio.create_task(follow())
        try:
            await asyncio.wait_for(feed.caught_up.wait(), 10)
            for number in range(3):
                shot = decision(line="line1", product_id="tile", station=f"cam-{number}")
                await send(via, DECISIONS, to_message(shot))
            async with reading(servers, COUNTED) as seen:
                await until(lambda: len(of_parts(seen)) == 3, 20, "three parts counted")
                assert not line.plc.gateway(Signal.STOP_REQUEST)
                await send(via, DECISIONS, to_message(decision(line="line1")))
                assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.STOP_REQUEST), 20)
                await line.reset_faults()
                assert await line.plc.wait_for(
                    lambda: not line.plc.gateway(Signal.STOP_REQUEST), 10
                )
                await send(via, DECISIONS, to_message(decision(line="line1")))
                await until(lambda: len(of_parts(seen)) == 5, 20, "one more part counted")
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    assert [(a.line, a.limit, a.count) for a in asked] == [("line1", "many", 4)]
    assert not line.plc.gateway(Signal.STOP_REQUEST), "still exceeded, and not asked again"
