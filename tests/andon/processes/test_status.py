"""Gateway and worker say on Kafka how they are, over the embedded broker."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from andon.processes.gateway import compose
from andon.processes.status import telling
from andon.settings import Settings
from andon.wiring import vision_server
from infra.stack.broker import Broker
from streams.events import Event
from streams.kafka.delivery import Delivery
from streams.roles.results import Results
from streams.roles.status import WorkerWatch
from streams.status import LinePhase, ProcessStatus
from streams.topics import FRAMES, STATUS
from tests.streams.made import frame
from tests.streams.roles.line import Reader, config, producer, reading, running, send_frame
from tests.waiting import until

pytestmark = pytest.mark.asyncio


def settings_of(broker: Broker, folder: Path, **changes: object) -> Settings:
    fields: dict[str, object] = {
        "kafka": {"bootstrap_servers": broker.bootstrap_servers, "idempotent_producer": False},
        "paths": {"state": folder / "state"},
        "gateway": {
            "camera": "synthetic:seed=1,size=32",
            "journal_dir": folder / "journal",
            "spool_dir": folder / "spool",
            "is_simulated": True,
        },
        "status_every_s": 0.2,
    }
    return Settings.model_validate(fields | changes)


def last(reader: Reader) -> ProcessStatus | None:
    found: list[Event] = reader.of(STATUS)
    return found[-1] if found and isinstance(found[-1], ProcessStatus) else None


class Idle:
    """A role that does nothing with what it gets."""

    def __init__(self, results: Results) -> None: ...
    async def handle(self, delivery: Delivery) -> None: ...
    async def failed(self, delivery: Delivery, error: Exception) -> None: ...
    async def close(self) -> None: ...


async def test_a_gateway_says_how_it_is_until_its_end(fresh_broker: Broker, scratch: Path) -> None:
    settings = settings_of(fresh_broker, scratch)
    controller = vision_server.job_controller(settings)

    def is_ready(reader: Reader) -> bool:
        said = last(reader)
        state = said.gateway if said else None
        return state is not None and state.phase is LinePhase.READY and state.is_alive

    async with reading(fresh_broker.bootstrap_servers, STATUS) as reader:
        async with AsyncExitStack() as stack:
            gateway, _, _ = await compose(settings, stack, controller)
            serving = asyncio.create_task(gateway.run())
            stack.callback(serving.cancel)
            await until(lambda: is_ready(reader), 20, "a gateway that is ready")
            said = last(reader)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        await until(lambda: (w := last(reader)) is not None and w.is_ended, 10, "its end")
    assert said is not None
    assert said.gateway is not None
    assert said.gateway.signals["Ready"] is True
    assert said.gateway.signals["PlcHeartbeat"], "what the controller shows is there too"


@pytest.mark.slow
async def test_a_worker_says_what_it_does(fresh_broker: Broker, scratch: Path) -> None:
    settings, servers = settings_of(fresh_broker, scratch), fresh_broker.bootstrap_servers
    own = config("inspect", servers, scratch)
    own = type(own)(**{**vars(own), "status_every_s": settings.status_every_s})
    watch = WorkerWatch("0", "0.2.0", lambda *_, **__: None)

    def counted(reader: Reader) -> bool:
        said = last(reader)
        state = said.worker if said else None
        return state is not None and state.events == 3 and state.lag == {FRAMES.name: 0}

    async with (
        reading(servers, STATUS) as reader,
        producer(servers) as via,
        running(own, [FRAMES], Idle) as runner,
        telling(settings, partial(watch.look, runner, "host-a")),
    ):
        for _ in range(3):
            await send_frame(via, frame(), b"picture")
        await until(lambda: counted(reader), 20, "what it was given")
        said = last(reader)
    assert said is not None
    assert said.worker is not None
    assert said.worker.is_ready
    assert said.worker.last_event_at is not None
    assert said.key == "inspect/host-a/0"


async def test_nothing_is_said_where_nobody_wants_it(scratch: Path) -> None:
    settings = Settings.model_validate({"status_every_s": 0})

    def look() -> ProcessStatus:
        raise AssertionError("nobody should ask")

    async with telling(settings, look):
        await asyncio.sleep(0)
