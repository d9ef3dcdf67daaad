"""``kill -9`` of the vision server's process, over the embedded broker and a client of asyncua."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asyncua import Client

from connectors.vision.address_space import OWN_NAMESPACE, know_trimmed_string
from connectors.vision.node_table import NAMESPACE
from infra.stack.broker import Broker
from infra.stack.process import Process, free_port
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from streams.codes import AckOutcome
from streams.envelope import to_message
from streams.events import Acknowledgement, Frame, PolicyInForce
from streams.kafka.connection import KafkaConnection
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ACKS, DECISIONS, FRAMES, POLICIES
from tests.connectors.line import decision_for
from tests.connectors.vision.station import AUTOMATIC, VisionClient
from tests.streams.roles.line import producer, reading, send
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]
RESULT_READY = 1024
WINDOW_MS = 5000


class KillableServer:
    """``andon vision-server`` in a process of its own."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.url = f"opc.tcp://127.0.0.1:{free_port()}"
        self._folder = folder
        self._environment = {
            "ANDON_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "ANDON_PATHS__STATE": str(folder / "state"),
            "ANDON_GATEWAY__JOURNAL_DIR": str(folder / "journal"),
            "ANDON_GATEWAY__SPOOL_DIR": str(folder / "spool"),
            "ANDON_GATEWAY__CAMERA": "synthetic:seed=0,size=32",
            "ANDON_VISION__URL": self.url,
            "ANDON_VISION__WINDOW_MS": str(WINDOW_MS),
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        """From listening to its end, by whatever."""
        command = [sys.executable, "-m", "andon", "vision-server"]
        log = self._folder / f"{datetime.now(UTC).timestamp()}.log"
        process = Process("vision-server", command, log, self._environment)
        try:
            await until(lambda: "vision.listening" in process.tail(), 90, "the server listens")
            yield process
        finally:
            process.stop()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[VisionClient]:
        """Knows the structures from the server, as somebody else's client does."""
        async with Client(self.url) as client:
            types = await client.get_namespace_index(NAMESPACE)
            own = await client.get_namespace_index(OWN_NAMESPACE)
            know_trimmed_string(types)
            await client.load_data_type_definitions()
            made = VisionClient(client, types, own)
            subscription = await client.create_subscription(20, made.seen)
            await subscription.subscribe_events(client.nodes.server, [made.type(RESULT_READY)])
            await made.prepare("tile")
            yield made


async def test_a_killed_server_gives_no_second_result_and_goes_on(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """The decision of the part that was open comes after the restart: it is nobody's any more."""
    servers = fresh_broker.bootstrap_servers
    await ensure_topics(KafkaConnection(servers))
    server = KillableServer(tmp_path, fresh_broker)
    classes = {"crack": {"severity": "defect", "action": "scrap"}}
    document = PolicyDocument.model_validate({"product": "tile", "classes": classes})
    in_force = PolicyInForce(
        product_id="tile",
        policy_hash=ResolvedPolicy(document).policy_hash,
        body=document.model_dump(mode="json"),
        applied_at=datetime.now(UTC),
    )
    async with producer(servers) as via, reading(servers, FRAMES, ACKS) as seen:

        def frame_of(part: str) -> list[Frame]:
            frames = [event for event in seen.of(FRAMES) if isinstance(event, Frame)]
            return [frame for frame in frames if frame.part_id == part]

        async def decide(part: str) -> None:
            await until(lambda: bool(frame_of(part)), 60, f"the frame of {part}")
            await send(via, DECISIONS, to_message(decision_for(frame_of(part)[0])))

        def outcomes(part: str) -> list[AckOutcome]:
            acks = [event for event in seen.of(ACKS) if isinstance(event, Acknowledgement)]
            return [ack.outcome for ack in acks if ack.part_id == part]

        await send(via, POLICIES, to_message(in_force))
        async with server.running() as process, server.client() as client:
            assert (await client.start(part="P-1"))[1] == 0
            await decide("P-1")
            (first,) = await client.hears(client.of(RESULT_READY))
            assert (first.PartId.Id, first.ResultState) == ("P-1", 1)
            await client.enters(AUTOMATIC, "Ready")
            assert (await client.start(part="P-2"))[1] == 0
            await until(lambda: bool(frame_of("P-2")), 60, "the frame of P-2")
            process.kill()
            await until(lambda: not process.running, 30, "its death")
        async with server.running(), server.client() as client:
            await decide("P-2")
            assert (await client.start(part="P-3"))[1] == 0
            await decide("P-3")
            (third,) = await client.hears(client.of(RESULT_READY))
            assert (third.PartId.Id, third.ResultState) == ("P-3", 1)
            assert third.ResultId.Id.partition("-")[0] != first.ResultId.Id.partition("-")[0]
            await until(lambda: bool(outcomes("P-2") and outcomes("P-3")), 60, "what became of all")
            assert len(client.seen.events) == 1
    assert outcomes("P-1") == [AckOutcome.ACKNOWLEDGED]
    assert AckOutcome.ACKNOWLEDGED not in outcomes("P-2")
    assert outcomes("P-3") == [AckOutcome.ACKNOWLEDGED]
    assert [len(frame_of(part)) for part in ("P-1", "P-2", "P-3")] == [1, 1, 1]
