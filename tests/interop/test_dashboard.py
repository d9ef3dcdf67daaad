"""A real Prometheus answers every question of the dashboard, over what the processes expose."""

import asyncio
import contextlib
import shutil
from pathlib import Path

import httpx
import pytest

from andon.reference.panels import PANELS
from andon.reference.plant_panels import PLANT_PANELS
from connectors.gateway.metrics import GATEWAY_METRICS, GatewayMeter
from connectors.gateway.spool import Spool
from console.metrics import CONSOLE_METRICS, ConsoleMeter
from console.plant_watch import PlantWatch
from infra.stack.process import free_port
from streams.codes import Stage
from streams.envelope import Message
from streams.exposition import served
from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import BusConfig
from streams.roles.classify import ClassifyRole
from streams.roles.config import FlowConfig, RoleConfig
from streams.roles.metrics import METRICS, RECORD_DELAY, SCORES
from streams.roles.results import Results
from streams.roles.runner import RoleRunner
from tests.connectors.watched_world import watched_world
from tests.connectors.world import World
from tests.console.plant import GivenQueue, GivenServing
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.publisher import TwinPublisher
from tests.history import make
from tests.streams.made import frame
from tests.streams.roles.line import opened
from tests.streams.roles.test_metrics import PAID

LIMIT = 1 << 20
NOT_SHOWN = {
    "andon_shots_total",
    "andon_in_flight_bytes",
    "andon_gateway_changeover_seconds",
    "andon_gateway_open_parts",
    "andon_gateway_plc_alive",
    "andon_gateway_plc_connected",
    "andon_serve_llm_calls_total",
    "andon_serve_llm_tokens_total",
}
"""For whoever looks closer."""


@pytest.fixture(scope="module")
def prometheus() -> str:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no `prometheus` on the path; Debian: apt-get install prometheus")
    return program


async def gateway_at_work(folder: Path) -> tuple[GatewayMeter, World]:
    spool = Spool(folder / "spool", LIMIT)
    spool.open()
    await spool.put("andon.acks", Message(b"L1/S1", b"{}", ()))
    spools = {"words": spool}
    meter = GatewayMeter("L1", "S1", lambda: True, spools, LIMIT, lambda: {"tile": "ab"})
    world = watched_world(meter.saw, seed=1, silent=0.3)
    return meter, world


class Plant:
    """A gateway, a worker that is all roles at once, and a console, as Prometheus sees them."""

    def __init__(self, meter: GatewayMeter, world: World, folder: Path) -> None:
        self.world = world
        never = opened(lambda _: pytest.fail("nobody opens it"))
        bus = BusConfig(KafkaConnection("127.0.0.1:1"), folder)
        worker = RoleRunner(RoleConfig("classify", bus), [], never, lambda *_, **__: None)
        worker.lag = {("andon.anomalies", 0): 3}
        self.telemetry = worker.telemetry
        self.telemetry.policies = lambda: {"tile": "ab"}
        self.telemetry.clock("L1/S1", 0.01, 1.0)
        self.telemetry.waits.heard("L1", 0.02)
        results = Results(Stage.CLASSIFY, TwinPublisher(), self.telemetry, FlowConfig())
        self.classify = ClassifyRole(TwinClassifier(), TwinPolicies(), results)
        self.watch = PlantWatch(GivenQueue(), GivenServing(), lambda: True, 1.0)
        self.console = ConsoleMeter(self.watch.reads())
        self.registries = (meter.registry, self.telemetry.registry, self.console.registry)
        self._parts = 0

    async def play(self) -> None:
        """What one part does; every third trigger comes too soon and is missed."""
        self._parts += 1
        self.world.trigger()
        if self._parts % 3 == 0:
            self.world.run(0.005)
            self.world.trigger()
        self.world.run(1)
        decision, told = make.decision(self._parts), self.telemetry
        told.decision(decision)
        told.stages({"inspect": 40.0})
        told.dead_letter("MalformedEventError")
        told.failed("publish", OSError("away"))
        told.observe(SCORES, "tile", 0.4)
        told.observe(RECORD_DELAY, "L1", 0.3)
        self.classify._count(frame(), PAID)
        self.console.answered("/live", "GET", 200, 0.02)
        await self.watch.look_at_reviews()
        await self.watch.look_at_replicas()


def ask(port: int, expr: str) -> list[dict]:
    url = f"http://127.0.0.1:{port}/api/v1/query"
    answer = httpx.get(url, params={"query": expr.replace("$line", ".*")}, timeout=10).json()
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


def scraping(tmp_path: Path, ports: list[int]) -> Path:
    targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    path = tmp_path / "prometheus.yaml"
    path.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: andon, static_configs: [{{targets: [{targets}]}}]}}]\n"
    )
    return path


def empty(port: int) -> set[str]:
    """The panels of which a question has no answer."""
    panels = (*PANELS, *PLANT_PANELS)
    return {one.title for one in panels if not all(ask(port, expr) for expr, _ in one.asks)}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_each_panel_has_data(prometheus: str, tmp_path: Path) -> None:
    plant = Plant(*await gateway_at_work(tmp_path), tmp_path)
    ports = [free_port() for _ in range(4)]
    stops = [served(one, port) for one, port in zip(plant.registries, ports, strict=False)]
    await plant.play()
    command = [prometheus, f"--config.file={scraping(tmp_path, ports[:3])}"]
    command += [f"--web.listen-address=127.0.0.1:{ports[3]}"]
    command += [f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    left = {"not asked yet"}
    try:
        async with asyncio.timeout(240):
            while left:
                await plant.play()
                await asyncio.sleep(0.5)  # the scrapes are a second apart
                with contextlib.suppress(httpx.TransportError):
                    left = await asyncio.to_thread(empty, ports[3])
    except TimeoutError:
        pytest.fail(f"no data for {sorted(left)}")
    finally:
        process.terminate()
        await process.wait()
        for stop in stops:
            stop()


def test_no_two_panels_have_one_title() -> None:
    titles = [panel.title for panel in (*PANELS, *PLANT_PANELS)]
    assert len(titles) == len(set(titles))


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    """What nobody looks at needs no counting."""
    rules = (Path(__file__).parents[2] / "infra/prometheus/andon.rules.yaml").read_text("utf-8")
    asked = rules + " ".join(e for p in (*PANELS, *PLANT_PANELS) for e, _ in p.asks)
    metrics = {one.exposed for one in (*METRICS, *GATEWAY_METRICS, *CONSOLE_METRICS)}
    assert {name for name in metrics if name not in asked} == NOT_SHOWN
