"""A vision server over a gateway's core, with Kafka in memory, and a client of asyncua."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from asyncua import Client, Node, ua

from connectors.cameras import SyntheticCamera
from connectors.gateway.adapters import GatewayPorts
from connectors.gateway.core import Gateway
from connectors.gateway.journal import Journal
from connectors.gateway.spool import Spool
from connectors.gateway.spooling_publisher import SpoolingPublisher
from connectors.settings import GatewaySettings
from connectors.vision.address_space import OWN_NAMESPACE
from connectors.vision.controller import JobController
from connectors.vision.node_table import NAMESPACE
from connectors.vision.server import VisionServer
from connectors.vision.settings import VisionServerSettings
from infra.stack.process import free_port
from streams.ports import Camera
from tests.connectors.line import MemoryBus, ReworkPolicy, at_once
from tests.contracts.twins.policies import TwinPolicies
from tests.waiting import until

STATE_CHANGED, ERROR, RESOLVED = 1018, 1019, 1020
PREPARED, JOB_STARTED, READY, ACQUIRED, RESULT_READY = 1022, 1013, 1023, 1025, 1024
VISION_EVENT, DIAGNOSTIC, INFORMATION = 1015, 1037, 1038
"""Numbers of the events, as OPC 40100-1 has them."""

VERSIONS = {"tile": "hash-of-tile", "demo": "hash-of-demo"}
MACHINE = "VisionStateMachine"
AUTOMATIC = f"{MACHINE}.AutomaticModeStateMachine"


@dataclass
class Station:
    """The server, its gateway, and what stands behind it."""

    url: str
    bus: MemoryBus
    controller: JobController
    server: VisionServer


@asynccontextmanager
async def running_station(
    folder: Path,
    camera: Camera | None = None,
    bus: MemoryBus | None = None,
    gateway: GatewaySettings | None = None,
    **own: object,
) -> AsyncIterator[Station]:
    """Until the server listens and its gateway is ready."""
    bus = bus or MemoryBus()
    if bus.answer is None:
        bus.answer = at_once
    settings = (gateway or GatewaySettings()).model_copy(update={"is_simulated": True})
    given = {"url": f"opc.tcp://127.0.0.1:{free_port()}"} | own
    vision = VisionServerSettings.model_validate(given)
    controller = JobController(settings, vision.window_ms, is_simulated=True)
    spool = Spool(folder / "spool", 1 << 24)
    spool.open()
    policies = TwinPolicies()
    policies.put(ReworkPolicy("demo"))
    ports = GatewayPorts(
        link=controller,
        cameras=[camera or SyntheticCamera(size=32)],
        journal=Journal(folder / "line.journal"),
        publisher=SpoolingPublisher(bus, spool, timeout_s=1.0, in_flight_bytes=1 << 24),
        feed=bus.feed,
        policies=policies,
    )
    server = VisionServer(vision, controller, lambda: VERSIONS, "line1/station1", "1")
    listening = asyncio.Event()
    work = [asyncio.create_task(server.run(listening.set), name="vision server")]
    try:
        waiting = asyncio.create_task(listening.wait())
        await asyncio.wait({*work, waiting}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert listening.is_set(), work
        work.append(asyncio.create_task(Gateway(settings, ports).run(), name="gateway"))
        yield Station(vision.url, bus, controller, server)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await bus.close()


@dataclass
class Seen:
    """Events that a client was told, in order."""

    events: list[object] = field(default_factory=list)

    def event_notification(self, event: object) -> None:
        """As asyncua's subscriptions call it."""
        self.events.append(event)


class VisionClient:
    """Somebody's client: calls methods by their path, reads states, hears events."""

    def __init__(self, client: Client, types: int, own: int) -> None:
        self.client, self.types, self.own = client, types, own
        self.seen = Seen()

    def node(self, path: str) -> Node:
        below = f"Andon.{path}" if path else "Andon"
        return self.client.get_node(ua.NodeId(below, self.own))

    def type(self, number: int) -> Node:
        return self.client.get_node(ua.NodeId(number, self.types))

    async def call(self, path: str, *given: object) -> list[object]:
        owner = path.rpartition(".")[0]
        found = await self.node(owner).call_method(self.node(path), *given)
        return found if isinstance(found, list) else [found]

    async def state(self, machine: str) -> str:
        value = await self.node(f"{machine}.CurrentState").read_data_value(
            raise_on_bad_status=False
        )
        return value.Value.Value.Text if value.StatusCode.is_good() else value.StatusCode.name

    async def enters(self, machine: str, state: str) -> None:
        async with asyncio.timeout(20):
            while await self.state(machine) != state:  # noqa: ASYNC110 - a server's state
                await asyncio.sleep(0.01)

    async def hears(self, kind: Callable[[object], bool], count: int = 1) -> list[object]:
        await until(lambda: sum(map(kind, self.seen.events)) >= count, 20, "the events")
        return [event for event in self.seen.events if kind(event)]

    def of(self, number: int) -> Callable[[object], bool]:
        """Whether an event is of an event type of the standard."""
        wanted = ua.NodeId(number, self.types)
        return lambda event: getattr(event, "EventType", None) == wanted

    async def prepare(self, product: str = "demo") -> None:
        await self.enters(MACHINE, "Operational")
        outside = ua.RecipeIdExternalDataType(Id=product)
        *_, error = await self.call(
            "RecipeManagement.PrepareRecipe", outside, ua.RecipeIdInternalDataType()
        )
        assert error == 0
        await self.enters(AUTOMATIC, "Ready")

    async def start(self, method: str = "StartSingleJob", part: str = "", recipe: str = "") -> list:
        return await self.call(
            f"{AUTOMATIC}.{method}",
            ua.MeasIdDataType(Id="M-1"),
            ua.PartIdDataType(Id=part),
            ua.RecipeIdExternalDataType(Id=recipe),
            ua.ProductIdDataType(),
            ua.Variant([], ua.VariantType.Variant, is_array=True),
        )


@asynccontextmanager
async def connected(station: Station, *event_types: int) -> AsyncIterator[VisionClient]:
    """A client that hears the events of some types, through the Server object."""
    async with Client(station.url) as client:
        types = await client.get_namespace_index(NAMESPACE)
        own = await client.get_namespace_index(OWN_NAMESPACE)
        # the server of this process has made the structures' classes already
        made = VisionClient(client, types, own)
        subscription = await client.create_subscription(20, made.seen)
        if event_types:
            kinds = [made.type(number) for number in event_types]
            await subscription.subscribe_events(client.nodes.server, kinds)
        yield made
