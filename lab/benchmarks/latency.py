"""``andon benchmark latency``: the stages of a part from its trigger to the acknowledgement."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from andon.stack.local import BrokerKind
from connectors.gateway.journal_entries import JournalEntry, replay
from lab.benchmarks.latency_stages import TOTAL, Records, combined, figures, stages_of
from lab.benchmarks.line import (
    IN_FLIGHT,
    SATURATED_WINDOW_S,
    Bench,
    bench,
    paced_round,
    saturated_rate,
)
from lab.benchmarks.throughput import SHIPPED, Round, medians
from lab.harness.line import LineOptions
from lab.harness.topics_reader import read_topic
from lab.percentiles import percentile
from lab.plc.ledger import Key
from lab.progress import Say
from streams import topics
from streams.codes import DecisionSource
from streams.envelope import from_message
from streams.events import Acknowledgement, Decision, Frame

KINDS: Mapping[str, str] = {
    DecisionSource.EXPERT.value: "decided by the expert",
    DecisionSource.CLASSIFIER.value: "named",
}
"""By who decided: what the parts are called whose stages are shown apart."""


@dataclass(frozen=True)
class LatencyBenchmark:
    """How long, and how hard."""

    rounds: int
    seconds: float
    rate: float | None
    """Parts/s; None: half of what the line takes."""
    anomalous: float
    """Share of the played parts that are not good."""
    train: int = 400
    """Normal textiles that train the expert."""


@dataclass(frozen=True)
class KindLatency:
    """The parts of one kind, and the medians over the rounds of each stage's figures."""

    parts: int
    stages: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class BrokerLatency:
    """What was measured over one broker."""

    parts_per_s: float
    parts: int
    not_followed: int
    """Parts one of whose moments is not on record, or that neither model decided."""
    load_before: Sequence[float]
    """The host's load average before each round."""
    cpu_ms: Mapping[str, float]
    """CPU per part by component."""
    kinds: Mapping[str, KindLatency]


def benchmark_latency(
    options: LatencyBenchmark, brokers: Sequence[BrokerKind], say: Say
) -> dict[str, BrokerLatency]:
    """The stages by broker, each on a stack of its own, one after the other."""
    return {broker: _over(broker, options, say) for broker in brokers}


def _over(broker: BrokerKind, options: LatencyBenchmark, say: Say) -> BrokerLatency:
    paced = LineOptions(window_s=SATURATED_WINDOW_S)
    with bench(options.train, paced, say, broker, options.anomalous) as running:
        running.serve(SHIPPED)
        rate = options.rate
        if rate is None:
            rate = saturated_rate(running, IN_FLIGHT, options.seconds) / 2
        say(f"{broker}: {rate:.1f} parts/s")
        rounds: list[Round] = []
        loads: list[float] = []
        for number in range(1, options.rounds + 1):
            loads.append(os.getloadavg()[0])
            rounds.append(paced_round(running, rate, options.seconds))
            say(f"round {number}: {_in_words(rounds[-1])}")
        entries = _journal(running)
        records = asyncio.run(_records(running))
    kinds = _by_kind(rounds, entries, records)
    parts = sum(len(played.entries) for played in rounds)
    return BrokerLatency(
        parts_per_s=round(rate, 2),
        parts=parts,
        not_followed=parts - sum(kind.parts for kind in kinds.values()),
        load_before=[round(load, 1) for load in loads],
        cpu_ms=medians([played.cpu_ms for played in rounds]),
        kinds=kinds,
    )


def _by_kind(
    rounds: Sequence[Round], journal: Mapping[Key, JournalEntry], records: Records
) -> dict[str, KindLatency]:
    """The stages of each kind of parts, of those that could be followed all the way."""
    kinds = {}
    for source, name in KINDS.items():
        by_round = []
        for played in rounds:
            own = [entry for entry in played.entries if entry.source == source]
            pairs = ((entry, journal.get(entry.key)) for entry in own)
            told = (stages_of(e, known, records) for e, known in pairs if known is not None)
            by_round.append([stages for stages in told if stages is not None])
        stages = combined(figures(found) for found in by_round if found)
        kinds[name] = KindLatency(sum(map(len, by_round)), stages)
    return kinds


def _journal(running: Bench) -> dict[Key, JournalEntry]:
    """What the gateway wrote down of every part."""
    folder = running.line.folder / "state" / "journal"
    (path,) = folder.glob("*.journal")
    known, _, _ = replay(path.read_bytes())
    return {(key.plc_boot_id, key.trigger_seq): entry for key, entry in known.entries.items()}


async def _records(running: Bench) -> Records:
    """What Kafka has of every part."""
    frames_s: dict[Key, float] = {}
    decisions: dict[Key, tuple[Decision, float]] = {}
    acknowledged_s: dict[Key, float] = {}
    kafka = running.line.stack.settings().kafka
    names = (topics.FRAMES.name, topics.DECISIONS.name, topics.ACKS.name)
    async for record in read_topic(kafka.bootstrap_servers, names):
        at_s = record.produced_s or 0.0
        if record.topic == topics.FRAMES.name:
            frame = from_message(Frame, record.value, record.headers)
            frames_s.setdefault((frame.plc_boot_id, frame.trigger_seq), at_s)
        elif record.topic == topics.DECISIONS.name:
            decision = from_message(Decision, record.value, record.headers)
            if not decision.is_late:
                key = decision.plc_boot_id, decision.trigger_seq
                decisions.setdefault(key, (decision, at_s))
        else:
            told = from_message(Acknowledgement, record.value, record.headers)
            if told.acknowledged_at is not None:
                key = told.plc_boot_id, told.trigger_seq
                acknowledged_s.setdefault(key, told.acknowledged_at.timestamp())
    return Records(frames_s, decisions, acknowledged_s)


def _in_words(played: Round) -> str:
    found = played.latencies_ms
    if not found:
        return "no result"
    middle, late = percentile(found, 0.5), percentile(found, 0.99)
    return f"{len(found)} results, {TOTAL} p50 {middle:.0f} ms, p99 {late:.0f} ms"
