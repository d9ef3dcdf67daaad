"""Where the time of a part goes, from what controller, gateway and Kafka wrote down of it. Pure.

Every figure is the difference of two moments that the line records anyway: the controller's
ledger, the gateway's journal, the time stamps of the records on Kafka and the stages that a
decision carries. So nothing is measured in the line on the benchmark's account. All moments are of
one host's clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median

from connectors.gateway.journal_entries import JournalEntry
from lab.percentiles import percentile
from lab.plc.ledger import LedgerEntry
from streams.codes import DecisionSource
from streams.events import Decision

Milliseconds = Mapping[str, float]
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


class LatencyStage(StrEnum):
    """The stages of a part in their order; each begins where the one before it ends."""

    TRIGGER = "trigger: controller to gateway"
    EXPOSURE = "exposure"
    JOURNAL = "frame id on disk, frame to the client"
    FRAME = "frame on Kafka"
    BATCH = "wait for a call"
    HOPS = "call: hops, pictures beside it"
    QUEUE = "call: queue of the replica"
    DECODE = "call: decode"
    SCORE = "call: expert"
    ANOMALY = "anomaly on Kafka"
    NAMING_WAIT = "wait for the classifier"
    NAMING = "classifier"
    POLICY = "policy, decision to the client"
    DECISION = "decision on Kafka, and results before it"
    WRITE = "result to the controller"
    ACKNOWLEDGEMENT = "acknowledgement to the gateway"


TOTAL = "trigger to write"
TO_ACKNOWLEDGEMENT = "trigger to acknowledgement"


@dataclass(frozen=True)
class Records:
    """What Kafka has of the parts that were played; by (boot, trigger number), seconds."""

    frames_s: Mapping[tuple[int, int], float]
    """When the gateway's client took the frame."""
    decisions: Mapping[tuple[int, int], tuple[Decision, float]]
    """What was decided in time, and when the worker's client took it."""
    acknowledged_s: Mapping[tuple[int, int], float]
    """When the gateway read that the controller had taken the result."""


def stages_of(
    entry: LedgerEntry, journal: JournalEntry, records: Records
) -> dict[LatencyStage, float] | None:
    """Milliseconds by stage of one part; None where one of its moments is not on record.

    A part of the expert has no stages of naming. Inside the call to the expert the replica's own
    times are per picture of its batch, so that what the other pictures took is with the hops.
    """
    found, frame_s = records.decisions.get(entry.key), records.frames_s.get(entry.key)
    acknowledged_s = records.acknowledged_s.get(entry.key)
    if found is None or frame_s is None or acknowledged_s is None or not entry.applied:
        return None
    decision, sent_s = found
    exposed_s, read_s = journal.captured_at, journal.ordered_at
    if exposed_s is None or read_s is None or decision.inspection is None:
        return None
    spent, inside = decision.timings_ms, decision.inspection.timings_ms
    asked_s = decision.captured_at.timestamp() + spent["queue_inspect"] / 1e3
    answered_s = asked_s + spent["expert"] / 1e3
    own_ms = [inside.get(name, 0.0) for name in ("queue", "decode", "score")]
    stages = {
        LatencyStage.TRIGGER: journal.triggered_at - entry.trigger.at,
        LatencyStage.EXPOSURE: exposed_s - journal.triggered_at,
        LatencyStage.JOURNAL: frame_s - exposed_s,
    }
    decided_s = decision.decided_at.timestamp()
    named = decision.source is not DecisionSource.EXPERT
    arrived_s = (answered_s if named else decided_s) - spent["inspect"] / 1e3
    stages |= {
        LatencyStage.FRAME: arrived_s - frame_s,
        LatencyStage.BATCH: asked_s - arrived_s,
        LatencyStage.HOPS: answered_s - asked_s - sum(own_ms) / 1e3,
        LatencyStage.QUEUE: own_ms[0] / 1e3,
        LatencyStage.DECODE: own_ms[1] / 1e3,
        LatencyStage.SCORE: own_ms[2] / 1e3,
    }
    if named:
        began_s = decided_s - spent["classify"] / 1e3
        naming_s = spent["classifier"] / 1e3
        stages |= {
            LatencyStage.ANOMALY: began_s - answered_s,
            LatencyStage.NAMING_WAIT: decided_s - began_s - naming_s,
            LatencyStage.NAMING: naming_s,
        }
    applied_s = entry.applied[0].at
    stages |= {
        LatencyStage.POLICY: sent_s - (decided_s if named else answered_s),
        LatencyStage.DECISION: read_s - sent_s,
        LatencyStage.WRITE: applied_s - read_s,
        LatencyStage.ACKNOWLEDGEMENT: acknowledged_s - applied_s,
    }
    return {stage: 1e3 * seconds for stage, seconds in stages.items()}


def figures(parts: Sequence[Mapping[LatencyStage, float]]) -> dict[str, dict[str, float]]:
    """Quantiles and mean of every stage over some parts of one kind, and of both totals.

    The means of the stages add up to the mean of the whole; quantiles do not.
    """
    columns: dict[str, list[float]] = {
        stage.value: [part[stage] for part in parts] for stage in LatencyStage if stage in parts[0]
    }
    columns[TOTAL] = [sum(part.values()) - part[LatencyStage.ACKNOWLEDGEMENT] for part in parts]
    columns[TO_ACKNOWLEDGEMENT] = [sum(part.values()) for part in parts]
    return {
        name: {
            **{key: percentile(values, share) for key, share in QUANTILES.items()},
            "mean_ms": fmean(values),
        }
        for name, values in columns.items()
    }


def combined(rounds: Iterable[Mapping[str, Milliseconds]]) -> dict[str, dict[str, float]]:
    """The median over the rounds of every figure of every stage; empty without a round."""
    found = list(rounds)
    if not found:
        return {}
    return {
        stage: {key: round(median(one[stage][key] for one in found), 2) + 0.0 for key in values}
        for stage, values in found[0].items()
    }
