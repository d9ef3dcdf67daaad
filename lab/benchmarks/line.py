"""The benchmark of the whole line's rate, and the line that benchmarks play on."""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from andon.stack.local import BrokerKind, LocalStack, StackPorts
from andon.stack.prepare import prepare
from lab.benchmarks.cpu import readings
from lab.benchmarks.throughput import (
    REFERENCE,
    SHIPPED,
    ExpertProfile,
    Round,
    alone,
    combine,
    medians,
    play_round,
)
from lab.datasets.textile import textile_dataset
from lab.harness import learn as learning
from lab.harness.clustered import ClusteredStack
from lab.harness.line import SERVE_TEMPLATE, LineOptions, SimulatedLine
from lab.harness.plan import LinePlan, cycle, make_plan, mixed
from lab.percentiles import percentile
from lab.progress import Say
from policies.authoring.loading import load_policy
from serving.ray.deploy import deploy

DEPLOY_S = 400.0
"""Until Ray Serve has deployed, seconds: on a machine that others keep busy it takes minutes."""
LEARNED = Path(".andon/benchmark")
"""Where the reference expert is kept between runs, and the last run's logs."""
SATURATED_WINDOW_S = 20.0
BUFFER = {"ANDON_GATEWAY__UNACKNOWLEDGED_LIMIT": "64"}
"""Results that come in batches wait in the gateway; the default of 8 is made for real takts."""
IN_FLIGHT = 32
"""Parts without a result while a line's rate is measured."""
PICTURES = 200
"""Parts of the line benchmark before its pictures come again."""


@dataclass(frozen=True)
class LineBenchmark:
    """How long and how hard."""

    rounds: int
    seconds: float
    in_flight: int
    """Parts without a result at saturation: enough to keep the expert's batches full."""
    batch: int
    anomalous: float
    """Share of the played parts that are not good: each costs a classification too."""
    train: int = 400
    """Normal textiles that train the reference expert."""


@dataclass
class Bench:
    """A line that is ready to play, and what it learned."""

    line: SimulatedLine
    plan: LinePlan
    learned: learning.Learned

    def serve(self, profile: ExpertProfile, batch: int = 8, replicas: int = 1) -> None:
        """Deploy, or redeploy, with this profile of the expert."""
        vision = {**asdict(profile), "batch": batch}
        config = self.learned.serve_config(replicas, vision=vision)
        serve = self.line.stack.settings().serve
        deploy(config, serve.address, DEPLOY_S, serve.token_file)


def benchmark_line(options: LineBenchmark, say: Say) -> dict[str, Any]:
    """Reference and shipped expert, each alternated with the line; then half load."""
    paced = LineOptions(window_s=SATURATED_WINDOW_S)
    with bench(options.train, paced, say, anomalous=options.anomalous) as running:
        result: dict[str, Any] = {"expert": running.learned.digest}
        for name, profile in (("reference", REFERENCE), ("shipped", SHIPPED)):
            result[name] = _alternate(running, profile, options, say)
            if profile is REFERENCE:
                rate = float(result[name]["line_frames_per_s"])
                result["half_load"] = _half_load(running, rate / 2, options)
        reference = result["reference"]
        return {
            "ratio": reference["ratio"],
            "overhead_cpu_ms": reference["overhead_cpu_ms"],
            "flow_cpu_ms": reference["flow_cpu_ms"],
            "shipped_ratio": result["shipped"]["ratio"],
            "anomalous": options.anomalous,
            **result,
        }


def benchmark_secured(options: LineBenchmark, say: Say) -> dict[str, Any]:
    """The line over Apache Kafka in plain text and by role over TLS, alternated.

    Each has a stack of its own, one after the other in every round; ``ratio`` is the line's rate
    over the bare expert's, measured beside it. ``cost`` is the share of it that security takes.
    ``cpu_ms`` is the line's CPU per frame, the expert's included: where other work disturbs the
    rates, ``cpu_cost`` says what a line that has no CPU left would lose; ``groups`` says where.
    """
    paced, once = LineOptions(window_s=SATURATED_WINDOW_S), replace(options, rounds=1)
    ratios: dict[str, list[float]] = {"plain": [], "secured": []}
    spent: dict[str, list[float]] = {"plain": [], "secured": []}
    groups: dict[str, list[dict[str, float]]] = {"plain": [], "secured": []}
    for _ in range(options.rounds):
        for name, found in ratios.items():
            secure = name == "secured"
            with bench(
                options.train, paced, say, "kafka", options.anomalous, secure=secure
            ) as running:
                measured = _alternate(running, REFERENCE, once, say)
            found.append(float(measured["ratio"]))
            spent[name].append(float(measured["expert_cpu_ms"] + measured["overhead_cpu_ms"]))
            groups[name].append(measured["cpu_ms"])
            say(f"{name}: ratio {found[-1]:.3f}, {spent[name][-1]:.1f} ms of CPU per frame")
    plain, secured = (median(found) for found in ratios.values())
    plain_cpu, secured_cpu = (median(found) for found in spent.values())
    return {
        "plain_ratio": round(plain, 3),
        "secured_ratio": round(secured, 3),
        "cost": round(1 - secured / plain, 3),
        "cpu_ms": {"plain": round(plain_cpu, 1), "secured": round(secured_cpu, 1)},
        "cpu_cost": round(1 - plain_cpu / secured_cpu, 3),
        "groups": {name: medians(found) for name, found in groups.items()},
        "rounds": ratios,
    }


@contextlib.contextmanager
def bench(
    train: int,
    options: LineOptions,
    say: Say,
    broker: BrokerKind = "embedded",
    anomalous: float | None = None,
    replicas: int = 1,
    failing_hosts: bool = False,
    settings: Mapping[str, str] | None = None,
    brokers: int = 1,
    secure: bool = False,
) -> Iterator[Bench]:
    """Start the stack, the taught expert and the line; everything is stopped at the end."""
    source = textile_dataset()
    policy = load_policy(SERVE_TEMPLATE.parents[1] / "policies" / "products" / "textile.yaml")
    plan = make_plan(
        policy.product_id, source.train[:train], source.test, set(policy.document.classes), None
    )
    if anomalous is not None:
        plan = mixed(plan, PICTURES, anomalous)
    learned = learned_expert(plan, say)
    say(f"reference expert {learned.digest}")
    folder = LEARNED / "run"
    shutil.rmtree(folder, ignore_errors=True)
    stack = LocalStack(
        folder / "stack",
        StackPorts.free(),
        broker_kind=broker,
        secure=secure,
        with_minio=False,  # the same store, secured or not
    )
    if brokers > 1:
        stack = ClusteredStack(
            folder / "stack", StackPorts.free(), broker_kind="kafka", brokers=brokers
        )
    line = SimulatedLine(
        folder, stack, plan, options, {**BUFFER, **(settings or {})}, failing_hosts
    )
    try:
        stack.start()
        asyncio.run(prepare(stack.settings(), [policy], "benchmark"))
        made = Bench(line, plan, learned)
        made.serve(REFERENCE, replicas=replicas)
        line.start()
        yield made
    finally:
        line.stop()
        stack.stop()


def learned_expert(plan: LinePlan, say: Say) -> learning.Learned:
    LEARNED.mkdir(parents=True, exist_ok=True)
    request = learning.request_of(plan, LEARNED)
    memory = LEARNED / f"{plan.product}-{len(plan.train)}.json"
    known = learning.remembered(memory, request)
    if known is not None:
        return known
    say(f"training the reference expert on {len(plan.train)} images")
    learned = learning.learn(request)
    memory.write_text(learned.model_dump_json())
    return learned


def _alternate(
    bench: Bench, profile: ExpertProfile, options: LineBenchmark, say: Say
) -> dict[str, Any]:
    """Expert alone, then the line, ``rounds`` times; the line idles while the expert runs."""
    bench.serve(profile, options.batch)
    line, solo, rounds, rests = bench.line, [], [], []
    for number in range(1, options.rounds + 1):
        with readings(line.pids()) as taken:
            measured = alone(
                bench.learned.artifact, bench.plan, profile, options.seconds, options.batch
            )
        solo.append(measured)
        spent, seconds = taken[-1].since(taken[0]), taken[-1].at - taken[0].at
        rests.append({name: 1000 * s / seconds for name, s in spent.items()})
        rate = measured["frames_per_s"]
        paced = LineOptions(0.001, SATURATED_WINDOW_S, True, options.in_flight)
        if number == 1:
            play_round(line, paced, cycle(bench.plan, 4 * options.in_flight))  # warm-up
        parts = max(60, int(rate * options.seconds))
        rounds.append(play_round(line, paced, cycle(bench.plan, parts)))
        say(
            f"{profile.runtime} round {number}: expert {rate:.1f} frames/s, "
            f"line {rounds[-1].frames_per_s:.1f} frames/s"
        )
    return combine(solo, rounds, rests, profile)


def paced_round(bench: Bench, rate: float, seconds: float) -> Round:
    """Play at a fixed takt, ``rate`` parts/s, after two seconds of it as a warm-up."""
    paced = LineOptions(takt_s=1 / rate, window_s=SATURATED_WINDOW_S)
    play_round(bench.line, paced, cycle(bench.plan, max(20, int(rate * 2))))
    return play_round(bench.line, paced, cycle(bench.plan, max(40, int(rate * seconds))))


def saturated_rate(bench: Bench, in_flight: int, seconds: float) -> float:
    """Parts/s that the line takes, after a warm-up; ``seconds`` is how long it is measured."""
    paced = LineOptions(0.001, SATURATED_WINDOW_S, True, in_flight)
    warm = play_round(bench.line, paced, cycle(bench.plan, 4 * in_flight))
    parts = max(60, int(warm.frames_per_s * seconds))
    return play_round(bench.line, paced, cycle(bench.plan, parts)).frames_per_s


def _half_load(bench: Bench, rate: float, options: LineBenchmark) -> dict[str, Any]:
    """Trigger to the result at the PLC, at a fixed takt of half the saturated rate."""
    measured = paced_round(bench, rate, options.seconds)
    return {
        "frames_per_s": round(rate, 2),
        "p50_ms": round(percentile(measured.latencies_ms, 0.5), 1),
        "p99_ms": round(percentile(measured.latencies_ms, 0.99), 1),
    }
