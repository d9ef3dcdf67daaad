"""Many lines on one stack: what a part costs by the number of lines, and what one line does to
another.

The same parts a second come from one line, or spread over many. Gateways and workers are the real
ones; the workers' models are stand-ins, or experts in Ray Serve; the controllers are simulated in
this process, which is not counted. They share its event loop, the one with the burst too, at about
10 ms of CPU a part: what a burst does to the others' p99 is at most what is printed.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from andon.settings import Settings
from andon.stack.local import BrokerKind, LocalStack, StackPorts
from andon.stack.prepare import prepare
from infra.stack.process import free_port
from infra.stack.server import LocalServer
from lab.benchmarks.cpu import cpu_seconds
from lab.benchmarks.line import DEPLOY_S, IN_FLIGHT, LEARNED, learned_expert
from lab.benchmarks.lines_figures import CpuSpent, LinesFigures, Window, figures_of
from lab.benchmarks.lines_pictures import PictureCost, cost_of, enlarged
from lab.datasets.textile import textile_dataset
from lab.harness.controllers_here import WINDOW_S, Controllers, LinePlayed, LinesRound
from lab.harness.line import ROLES, SERVE_TEMPLATE
from lab.harness.plan import LinePlan, make_plan
from lab.harness.processes import RoleProcess, stop_all
from lab.progress import Say
from policies.authoring.loading import load_policy
from serving.ray.deploy import deploy
from streams.principals import Role

GATEWAYS_EACH = 16
"""Gateways that share one process here; that of the line with the bursts has one to itself."""
READY_S = 600.0
"""Until workers and gateways are ready, seconds: on a busy machine dozens of them take long."""
BURST = 5
"""So many times its rate one line comes with in a burst."""
PROBED_RATE = 20
"""Parts/s for which the probe of one line's rate is long enough."""
TRAIN = 60
"""Normal textiles that train the expert, where there is one."""


@dataclass(frozen=True)
class LinesBenchmark:
    """How many lines, how fast, and over what."""

    lines: tuple[int, ...]
    rate: float | None
    """Parts/s of all lines together; None: half of what one line takes."""
    seconds: float
    """Length of a round."""
    rounds: int
    broker: BrokerKind
    partitions: int | None
    """Of each topic that is keyed by line; None: as many as the most lines."""
    workers: int
    """Of each role."""
    replicas: int
    """Of the expert in Ray Serve; 0: stand-ins in the workers."""
    side: int | None
    """Pixels of a picture's side; None: the textile set's own, 250."""


@dataclass
class LinesStack(LocalStack):
    """The local stack with as many partitions as lines, and without Ray where nobody needs it."""

    partitions: int = 1
    with_ray: bool = True

    def _sections(self, role: Role | None) -> dict[str, dict[str, str | int]]:
        sections = super()._sections(role)
        sections["kafka"]["partitions"] = self.partitions
        return sections

    def _starters(self) -> dict[str, Callable[[], LocalServer]]:
        starters = super()._starters()
        if not self.with_ray:
            del starters["ray"]
        return starters


@dataclass
class Plant:
    """A stack with its workers, to which lines come and from which they go."""

    options: LinesBenchmark
    stack: LinesStack
    folder: Path
    plan: LinePlan
    picture: PictureCost
    processes: dict[str, RoleProcess] = field(default_factory=dict)
    rounds: int = 0
    """So many were played; it is part of the parts' names."""

    @property
    def settings(self) -> Settings:
        """As the processes have them."""
        return self.stack.settings()

    def start_workers(self) -> None:
        """Each role as often as asked for, all ready when this returns."""
        program = "andon" if self.options.replicas else "lab.harness.stand_in_host"
        for role in ROLES:
            for number in range(self.options.workers):
                name = f"{role}-{number}"
                own = {"ANDON_WORKER__INSTANCE": name}
                self.processes[name] = RoleProcess(
                    name, ["worker", role], self.folder, self._environment | own, program
                )
        for process in self.processes.values():
            process.wait_ready(READY_S)

    @contextlib.asynccontextmanager
    async def lines(self, count: int) -> AsyncIterator[Controllers]:
        """So many lines, each with a controller and a gateway, all Ready."""
        urls = {f"line{n}": f"opc.tcp://127.0.0.1:{free_port()}" for n in range(1, count + 1)}
        controllers = Controllers(urls)
        hosts: dict[str, RoleProcess] = {}
        try:
            await controllers.start()
            for number, lines in enumerate(shared(list(urls))):
                name, own = f"gateways-{number}", {line: urls[line] for line in lines}
                hosts[name] = _gateways(name, own, self.folder, self._environment)
            self.processes |= hosts
            for host in hosts.values():
                await asyncio.to_thread(host.wait_ready, READY_S)
            await controllers.wait_ready()
            yield controllers
        finally:
            await asyncio.to_thread(stop_all, list(hosts.values()))
            for name in hosts:
                self.processes.pop(name, None)
            await controllers.stop()
            shutil.rmtree(self.folder / "state" / "lines", ignore_errors=True)

    async def play(
        self,
        controllers: Controllers,
        rate: float,
        seconds: float,
        burst: str = "",
        stops: str = "",
        in_flight: int = 0,
    ) -> tuple[Sequence[LinePlayed], CpuSpent]:
        """One round at so many parts/s of all lines together, and what it cost."""
        self.rounds += 1
        takt_s = len(controllers.plcs) / rate
        told = LinesRound(
            name=str(self.rounds),
            product=self.plan.product,
            seconds=seconds,
            takt_s={line: takt_s / (BURST if line == burst else 1) for line in controllers.plcs},
            in_flight=in_flight,
            stops=stops,
        )
        with self.counted() as counted:
            played = await controllers.play(told)
        return played, counted

    @contextlib.contextmanager
    def counted(self) -> Iterator[CpuSpent]:
        """CPU by part of the stack, filled in at the end."""
        roots = {name: server.process.pid for name, server in self.stack.components.items()}
        roots |= {name: one.process.pid for name, one in self.processes.items()}
        counted, before = CpuSpent.begin(roots), cpu_seconds(roots)
        yield counted
        counted.end(before, cpu_seconds(roots))

    @property
    def _environment(self) -> dict[str, str]:
        pictures, state = self.folder / "pictures.txt", self.folder / "state"
        return {
            **self.stack.environment(),
            "ANDON_PATHS__STATE": str(state),
            "ANDON_GATEWAY__CAMERA": f"list:{pictures}",
            "ANDON_GATEWAY__JOURNAL_DIR": str(state / "lines" / "journal"),
            "ANDON_GATEWAY__SPOOL_DIR": str(state / "lines" / "spool"),
            "ANDON_GATEWAY__RESULT_WINDOW_MS": str(round(1000 * WINDOW_S)),
            "ANDON_GATEWAY__HEARTBEAT_MISSED": "60",
            "ANDON_GATEWAY__UNACKNOWLEDGED_LIMIT": "64",
            "ANDON_GATEWAY__IS_SIMULATED": "true",
        }


def shared(lines: Sequence[str]) -> list[Sequence[str]]:
    """Which lines' gateways share a process: the first line's would feel its burst, so it has its
    own, as every line of a plant has.

    >>> [len(lines) for lines in shared([f"line{n}" for n in range(1, 35)])]
    [1, 16, 16, 1]
    """
    others = [lines[n : n + GATEWAYS_EACH] for n in range(1, len(lines), GATEWAYS_EACH)]
    return [lines[:1], *others]


def _gateways(
    name: str, urls: Mapping[str, str], folder: Path, environment: Mapping[str, str]
) -> RoleProcess:
    words = [json.dumps(dict(urls))]
    return RoleProcess(name, words, folder, environment, "lab.harness.gateways_host")


def benchmark_lines(options: LinesBenchmark, say: Say) -> LinesFigures:
    """Each number of lines one after the other, on one stack."""
    with _plant(options, say) as plant:
        return asyncio.run(_measured(plant, say))


async def _measured(plant: Plant, say: Say) -> LinesFigures:
    options, rate = plant.options, plant.options.rate
    if rate is None:
        async with plant.lines(1) as one:
            at_once, many = 1000.0, IN_FLIGHT
            await plant.play(one, at_once, 4 * many / at_once, in_flight=many)
            parts = options.seconds * PROBED_RATE
            (played,), _ = await plant.play(one, at_once, parts / at_once, in_flight=many)
        rate = played.parts / played.seconds / 2
        say(f"one line takes {2 * rate:.1f} parts/s")
    windows = []
    for count in options.lines:
        async with plant.lines(count) as controllers:
            windows.append(await _with_lines(plant, controllers, rate, say))
    return figures_of(rate, windows, plant.picture)


async def _with_lines(plant: Plant, controllers: Controllers, rate: float, say: Say) -> Window:
    """Idle and at work in turn; then the bursts and the stop of one line among the others."""
    options, count = plant.options, len(controllers.plcs)
    window = Window(count)
    warm_up_s = max(min(3.0, options.seconds), 2 * count / rate)
    await plant.play(controllers, rate, warm_up_s)
    for number in range(1, options.rounds + 1):
        with plant.counted() as idle:
            await asyncio.sleep(options.seconds / 2)
        window.add(idle, *await plant.play(controllers, rate, options.seconds))
        say(f"{count} lines, round {number}: {window.last()}")
    if count > 1:
        first = next(iter(controllers.plcs))
        for _ in range(options.rounds):
            steady, _ = await plant.play(controllers, rate, options.seconds)
            burst, _ = await plant.play(controllers, rate, options.seconds, burst=first)
            window.add_burst(first, steady, burst)
        stopped, _ = await plant.play(controllers, rate, options.seconds, stops=first)
        window.stopped(first, stopped)
        say(f"{count} lines: {window.others()}")
    return window


@contextlib.contextmanager
def _plant(options: LinesBenchmark, say: Say) -> Iterator[Plant]:
    policy = load_policy(SERVE_TEMPLATE.parents[1] / "policies" / "products" / "textile.yaml")
    source, classes = textile_dataset(), set(policy.document.classes)
    plan = make_plan(policy.product_id, source.train[:TRAIN], source.test, classes, None)
    folder = (LEARNED / "lines").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shown = [part.photograph.path for part in plan.parts]
    if options.side is not None:
        shown = enlarged(shown, options.side, folder / "pictures")
    (folder / "pictures.txt").write_text("".join(f"{path}\n" for path in shown))
    stack = LinesStack(
        folder / "stack",
        StackPorts.free(),
        broker_kind=options.broker,
        partitions=options.partitions or max(options.lines),
        with_ray=bool(options.replicas),
    )
    plant = Plant(options, stack, folder, plan, cost_of(shown))
    learned = learned_expert(plan, say) if options.replicas else None
    try:
        stack.start()
        asyncio.run(prepare(stack.settings(), [policy], "benchmark"))
        if learned is not None:
            serve = stack.settings().serve
            config = learned.serve_config(options.replicas)
            deploy(config, serve.address, DEPLOY_S, serve.token_file)
        plant.start_workers()
        yield plant
    finally:
        stop_all(list(plant.processes.values()))
        stack.stop()
