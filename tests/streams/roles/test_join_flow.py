"""The join role over a real broker: ``kill -9`` again and again, a rebalance, doubled verdicts."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from infra.stack.broker import Broker
from streams.envelope import to_message
from streams.events import Decision, ShotVerdict
from streams.ids import new_frame_id
from streams.roles.join_core import joined_id
from streams.roles.runner import RoleRunner
from streams.topics import DECISIONS, SHOTS
from tests.streams import made
from tests.streams.roles.join_process import join_config, join_role
from tests.streams.roles.line import Reader, death_of, producer, reading, send, spawned
from tests.waiting import until

STATIONS, EACH = 5, 16


@asynccontextmanager
async def joining(servers: str, state: Path, instance: str) -> AsyncIterator[None]:
    """A join worker in this process."""
    stop, ready = asyncio.Event(), asyncio.Event()
    config = join_config(servers, state, instance)
    runner = RoleRunner(config, [SHOTS], join_role(servers), lambda *a, **k: None)
    task = asyncio.create_task(runner.run(stop, ready.set))
    try:
        await until(ready.is_set, 60, "the join role")
        yield
    finally:
        stop.set()
        await task


def first_decisions(seen: Reader) -> dict[UUID, Decision]:
    """For each part the decision that gateways take: the first on the topic."""
    found: dict[UUID, Decision] = {}
    for event in seen.of(DECISIONS):
        assert type(event) is Decision
        found.setdefault(event.frame_id, event)
    return found


def verdicts(count: int, stations: int = STATIONS) -> dict[UUID, list[ShotVerdict]]:
    """Parts of three shots at several stations, with ten minutes to decide them."""
    found: dict[UUID, list[ShotVerdict]] = defaultdict(list)
    deadline = datetime.now(UTC) + timedelta(minutes=10)
    for number in range(count):
        part, station = new_frame_id(), f"cam-{number % stations}"
        for shot in (1, 2, 3):
            fields = {"part_frame_id": part, "station": station, "deadline": deadline}
            fields["result_window_ms"] = 600_000
            found[part].append(made.verdict(shot, **fields))  # type: ignore[arg-type]
    return found


@pytest.mark.asyncio
@pytest.mark.slow
async def test_kills_and_a_rebalance_leave_no_part_undecided_and_no_shot_out(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """The last shot of every other part comes only after the kills."""
    servers = fresh_broker.bootstrap_servers
    parts = verdicts(STATIONS * EACH)
    held_back = [shots[2] for shots in list(parts.values())[::2]]
    async with reading(servers, DECISIONS) as seen, producer(servers) as via:
        for shots in parts.values():
            for one in shots:
                if one not in held_back:
                    await send(via, SHOTS, to_message(one))
        for kill_at in (15, 40):
            await death_of(spawned("join_process", servers, tmp_path, kill_at), 120)
        async with joining(servers, tmp_path, "0"):
            for one in held_back[::2]:
                await send(via, SHOTS, to_message(one))
                await send(via, SHOTS, to_message(one))
            async with joining(servers, tmp_path, "1"):
                for one in held_back[1::2]:
                    await send(via, SHOTS, to_message(one))
                await until(lambda: first_decisions(seen).keys() == parts.keys(), 90, "decisions")
    for part, decision in first_decisions(seen).items():
        assert decision.result_id == joined_id(part)
        assert [s.frame_id for s in decision.shots] == [v.frame_id for v in parts[part]]
    identities = {event.result_id for event in seen.of(DECISIONS) if isinstance(event, Decision)}
    assert len(identities) == len(parts)


@pytest.mark.asyncio
@pytest.mark.slow
async def test_what_comes_again_of_a_decided_part_is_not_decided_without_the_rest(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """An open part stands between its verdicts, so that only the first of them is committed."""
    servers = fresh_broker.bootstrap_servers
    decided, open_, overdue = verdicts(3, stations=1).values()
    past = {"deadline": datetime.now(UTC) - timedelta(minutes=1)}
    decided, overdue = (
        [one.model_copy(update=past) for one in shots] for shots in (decided, overdue)
    )
    async with reading(servers, DECISIONS) as seen, producer(servers) as via:
        async with joining(servers, tmp_path, "0"):
            for one in (decided[0], open_[0], *decided[1:]):
                await send(via, SHOTS, to_message(one))
            await until(lambda: len(first_decisions(seen)) == 1, 60, "the first decision")
        async with joining(servers, tmp_path, "0"):
            for one in (overdue[0], *open_[1:]):
                await send(via, SHOTS, to_message(one))
            await until(lambda: len(first_decisions(seen)) == 3, 60, "the others")
    assert len(seen.of(DECISIONS)) == 3
    assert [s.frame_id for s in first_decisions(seen)[decided[0].part_identity].shots] == [
        one.frame_id for one in decided
    ]
