"""The two benchmarks of the whole line: its rate, and its faults."""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from andon.stack.local import BrokerKind, LocalStack, StackPorts
from andon.stack.prepare import prepare
from lab.benchmarks.faults import BROKER, Say, play_with_faults
from lab.benchmarks.throughput import REFERENCE, SHIPPED, ExpertProfile, alone, combine, play_round
from lab.datasets.textile import textile_dataset
from lab.demo.summary import percentile
from lab.harness import learn as learning
from lab.harness.line import SERVE_TEMPLATE, LineOptions, SimulatedLine
from lab.harness.plan import LinePlan, cycle, make_plan, mixed
from lab.harness.settle import run_seconds, settle
from lab.plc.ledger import read_ledger
from policies.authoring.loading import load_policy
from serving.ray.deploy import deploy
from streams.codes import DecisionSource, ReasonCode

LEARNED = Path(".andon/benchmark")
"""Where the reference expert is kept between runs, and the last run's logs."""
SATURATED_WINDOW_S = 20.0
BUFFER = {"ANDON_GATEWAY__UNACKNOWLEDGED_LIMIT": "64"}
"""Results that come in batches wait in the gateway; the default of 8 is made for real takts."""
PICTURES = 200
"""Parts of the line benchmark before its pictures come again."""


_UNANSWERED = (ReasonCode.EXPERT_UNAVAILABLE, ReasonCode.CLASSIFIER_UNAVAILABLE)


@dataclass(frozen=True)
class LineBenchmark:
    """How long and how hard."""

    rounds: int = 3
    seconds: float = 15.0
    in_flight: int = 32
    """Parts without a result at saturation: enough to keep the expert's batches full."""
    batch: int = 8
    anomalous: float = 0.1
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
        deploy(config, serve.address, token_file=serve.token_file)


def benchmark_line(options: LineBenchmark, say: Say) -> dict[str, Any]:
    """Reference and shipped expert, each alternated with the line; then half load."""
    paced = LineOptions(window_s=SATURATED_WINDOW_S)
    with _bench(options.train, paced, say, anomalous=options.anomalous) as bench:
        result: dict[str, Any] = {"expert": bench.learned.digest}
        for name, profile in (("reference", REFERENCE), ("shipped", SHIPPED)):
            result[name] = _alternate(bench, profile, options, say)
            if profile is REFERENCE:
                rate = float(result[name]["line_frames_per_s"])
                result["half_load"] = _half_load(bench, rate / 2, options)
        reference = result["reference"]
        return {
            "ratio": reference["ratio"],
            "overhead_cpu_ms": reference["overhead_cpu_ms"],
            "flow_cpu_ms": reference["flow_cpu_ms"],
            "shipped_ratio": result["shipped"]["ratio"],
            "anomalous": options.anomalous,
            **result,
        }


def benchmark_faults(
    parts: int,
    takt_s: float,
    window_s: float,
    names: Sequence[str],
    say: Say,
    broker: BrokerKind = "embedded",
) -> dict[str, Any]:
    """Kill each process in turn; the balance and how long each was away.

    Two replicas serve each deployment, as ``infra/serve.yaml`` has them: ``unanswered`` counts the
    parts that got a fallback because expert or classifier could not answer, and should be 0. Over
    Apache Kafka the broker is the last of them.
    """
    if broker == "kafka":
        names = (*names, BROKER)
    with _bench(400, LineOptions(takt_s, window_s), say, broker, replicas=2) as bench:
        line = bench.line
        line.plan = cycle(bench.plan, parts)
        line.write_plan()
        found = play_with_faults(line, names, say)
        ledger = read_ledger(line.ledger)
        kafka, reckoning = asyncio.run(settle(line.stack.settings(), ledger, parts))
        return {
            **reckoning.figures(),
            "plc_default": reckoning.by_source[DecisionSource.PLC_DEFAULT.value],
            "unanswered": sum(d.reason_code in _UNANSWERED for d in kafka.decisions),
            "dead_letters": kafka.dead_letters,
            "run_s": round(run_seconds(line.ledger), 1),
            "faults": [asdict(fault) for fault in found],
            "why": [*reckoning.lost, *reckoning.acted_twice][:20],
        }


@contextlib.contextmanager
def _bench(
    train: int,
    options: LineOptions,
    say: Say,
    broker: BrokerKind = "embedded",
    anomalous: float | None = None,
    replicas: int = 1,
) -> Iterator[Bench]:
    source = textile_dataset()
    policy = load_policy(SERVE_TEMPLATE.parents[1] / "policies" / "products" / "textile.yaml")
    plan = make_plan(
        policy.product_id, source.train[:train], source.test, set(policy.document.classes), None
    )
    if anomalous is not None:
        plan = mixed(plan, PICTURES, anomalous)
    learned = _learn(plan, say)
    say(f"reference expert {learned.digest}")
    folder = LEARNED / "run"
    shutil.rmtree(folder, ignore_errors=True)
    stack = LocalStack(folder / "stack", StackPorts.free(), broker_kind=broker)
    line = SimulatedLine(folder, stack, plan, options, BUFFER)
    try:
        stack.start()
        asyncio.run(prepare(stack.settings(), [policy], "benchmark"))
        bench = Bench(line, plan, learned)
        bench.serve(REFERENCE, replicas=replicas)
        line.start()
        yield bench
    finally:
        line.stop()
        stack.stop()


def _learn(plan: LinePlan, say: Say) -> learning.Learned:
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
    line, solo, rounds = bench.line, [], []
    for number in range(1, options.rounds + 1):
        measured = alone(
            bench.learned.artifact, bench.plan, profile, options.seconds, options.batch
        )
        solo.append(measured)
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
    return combine(solo, rounds, profile)


def _half_load(bench: Bench, rate: float, options: LineBenchmark) -> dict[str, Any]:
    """Trigger to the result at the PLC, at a fixed takt of half the saturated rate."""
    paced = LineOptions(takt_s=1 / rate, window_s=SATURATED_WINDOW_S)
    play_round(bench.line, paced, cycle(bench.plan, max(20, int(rate * 2))))
    parts = max(40, int(rate * options.seconds))
    measured = play_round(bench.line, paced, cycle(bench.plan, parts))
    return {
        "frames_per_s": round(rate, 2),
        "p50_ms": round(percentile(measured.latencies_ms, 0.5), 1),
        "p99_ms": round(percentile(measured.latencies_ms, 0.99), 1),
    }
