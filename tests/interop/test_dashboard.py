"""A real Prometheus answers every question of the dashboard, over what the processes expose."""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from andon.reference.dashboard import PANELS
from connectors.gateway.meter import GatewayMeter
from connectors.gateway.spool import Spool
from connectors.handshake import HandshakeConfig, step
from connectors.handshake import values as hs
from infra.stack.process import free_port
from streams.envelope import Message
from streams.exposition import served
from streams.roles.results import Telemetry
from tests.connectors.world import World
from tests.history import make
from tests.waiting import until

LIMIT = 1 << 20
EXPECTED_EMPTY = {"Faults that stand"}
"""Nothing is wrong in this run."""


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
    world = World(seed=1, config=HandshakeConfig(result_window_ms=800), silent=0.3)
    feed = world.feed

    def watched(event: hs.Input) -> None:
        before = world.state
        _, commands = step(before, world.now, event)
        feed(event)
        meter.saw(before, world.state, commands)

    world.feed = watched
    world.connect()
    return meter, world


def play(world: World, telemetry: Telemetry, part: int) -> None:
    """What one part does to the metrics; every third trigger comes too soon and is missed."""
    world.trigger()
    if part % 3 == 0:
        world.run(0.005)
        world.trigger()
    world.run(1)
    telemetry.decision(make.decision(part))
    telemetry.stages({"inspect": 40.0})
    telemetry.dead_letter("MalformedEventError")
    telemetry.failed("publish", OSError("away"))


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


@pytest.mark.slow
@pytest.mark.asyncio
async def test_each_panel_has_data(prometheus: str, tmp_path: Path) -> None:
    meter, world = await gateway_at_work(tmp_path)
    telemetry = Telemetry("inspect")
    telemetry.watch(lambda: 3, lambda: 4096)
    registries: list[CollectorRegistry] = [meter.registry, telemetry.registry]
    ports = [free_port() for _ in range(3)]
    stops = [served(one, port) for one, port in zip(registries, ports, strict=False)]
    played = iter(range(1, 10_000))
    play(world, telemetry, next(played))
    command = [prometheus, f"--config.file={scraping(tmp_path, ports[:2])}"]
    command += [
        f"--web.listen-address=127.0.0.1:{ports[2]}",
        f"--storage.tsdb.path={tmp_path}/data",
    ]
    with (tmp_path / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        empty = {panel.title for panel in PANELS}

        def answered() -> bool:
            play(world, telemetry, next(played))
            try:
                for panel in PANELS:
                    if all(ask(ports[2], expr) for expr, _ in panel.asks):
                        empty.discard(panel.title)
            except httpx.TransportError:
                return False
            return empty == EXPECTED_EMPTY

        await until(answered, 240, "an answer to each question")
    finally:
        process.terminate()
        await process.wait()
        for stop in stops:
            stop()
