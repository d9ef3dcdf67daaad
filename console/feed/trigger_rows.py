"""One row per trigger: when its picture, decision, write and acknowledgement were; and latencies.

All of it is made of decisions and acknowledgements; pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final
from uuid import UUID

from pydantic import BaseModel, Field

from console.feed.line_state import LivePart
from streams.codes import DecisionSource, ReasonCode
from streams.counters import MISSED_LIMIT
from streams.events import Decision, PartOnLine

GAPS_TOLD: Final = 100_000
"""A jump of the trigger's number by more is another count, and no gap."""


class LateAnswer(BaseModel):
    """A decision that nobody acted on, because another one stood or the window was over."""

    source: DecisionSource
    after_ms: float
    """After the trigger."""


class TriggerRow(BaseModel):
    """One trigger of a line controller and what came of it; times after the trigger, ms."""

    identity: UUID
    line: str
    station: str
    part_id: str
    product_id: str
    plc_boot_id: int
    trigger_seq: int
    triggered_at: datetime
    window_ms: float
    frame_ms: float | None = None
    """The picture was taken; None: there is none."""
    decided_ms: float | None = None
    written_ms: float | None = None
    """The result stood in the controller's registers."""
    acknowledged_ms: float | None = None
    headroom_ms: float | None = None
    """What was left of the result window when the result was written."""
    action: str = ""
    source: str = ""
    reason_code: int = 0
    outcome: str = "none"
    is_missed: bool = False
    """Whether the trigger was not captured."""
    is_watchdog: bool = False
    """Whether the gateway decided, because nobody else had."""
    late: tuple[LateAnswer, ...] = ()
    gap: int = 0
    """Numbers of triggers before this one of which nothing was heard."""
    is_new_boot: bool = False
    """Whether the controller was started anew before this trigger."""
    order: float = Field(0.0, exclude=True)
    """Where it stands among the rows."""


class StageLatency(BaseModel):
    """How long one stage took, over the last parts."""

    stage: str
    p50_ms: float
    p99_ms: float
    count: int


class VersionsInForce(BaseModel):
    """What decided the last part of a product."""

    product_id: str
    policy_hash: str = ""
    expert_name: str = ""
    expert_version: str = ""
    classifier: str = ""
    classifier_version: str = ""
    last_at: datetime


def rows_of(parts: Sequence[LivePart], count: int) -> list[TriggerRow]:
    """The last triggers, newest first.

    Args:
        parts: of one line, oldest first.
        count: rows at most.
    """
    runs: dict[tuple[str, int], list[tuple[PartOnLine, LivePart]]] = defaultdict(list)
    for part in parts:
        heard = part.decision or part.acknowledgement
        if heard is not None:
            runs[heard.station, heard.plc_boot_id].append((heard, part))
    found = sorted((one for run in runs.values() for one in _in_order(run)), key=lambda one: one[0])
    before: dict[str, PartOnLine] = {}
    rows: list[TriggerRow] = []
    for order, told, part in found:
        rows.append(_row(part, told, before.get(told.station)))
        rows[-1].order = order
        before[told.station] = told
    return rows[::-1][:count]


def _in_order(
    run: list[tuple[PartOnLine, LivePart]],
) -> Iterator[tuple[float, PartOnLine, LivePart]]:
    """The triggers of one run of a controller by their numbers, and when each was there at last.

    Those that were missed are noticed together, and have one moment in no order. Numbers wrap
    where the controller's node ends: the low ones that came later stand behind the high ones.
    """
    run.sort(key=lambda one: one[0].trigger_seq)
    jumps = [b.trigger_seq - a.trigger_seq for (a, _), (b, _) in pairwise(run)]
    if jumps and max(jumps) > MISSED_LIMIT:
        at = jumps.index(max(jumps)) + 1
        low, high = run[:at], run[at:]
        if max(_triggered(one) for one, _ in low) >= max(_triggered(one) for one, _ in high):
            run = high + low
    latest = 0.0
    for told, part in run:
        latest = max(latest + 1e-6, _triggered(told).timestamp())
        yield latest, told, part


def latencies(parts: Iterable[LivePart]) -> list[StageLatency]:
    """Median and 99th percentile of each stage: the way of a part, then what workers measured."""
    took: dict[str, list[float]] = defaultdict(list)
    inside: dict[str, list[float]] = defaultdict(list)
    for part in parts:
        told = part.decision or part.acknowledgement
        if told is None:
            continue
        row = _row(part, told, None)
        if row.is_missed or (part.decision is not None and part.decision.is_late):
            continue
        marks = (0.0, row.frame_ms, row.decided_ms, row.written_ms, row.acknowledged_ms)
        for name, begun, done in zip(_WAY, marks, marks[1:], strict=False):
            if begun is not None and done is not None:
                took[name].append(done - begun)
        if row.written_ms is not None:
            took["whole"].append(row.written_ms)
        if part.decision is not None:
            for name, ms in part.decision.timings_ms.items():
                inside[name].append(ms)
    way = [_quantiles(name, took[name]) for name in (*_WAY, "whole") if took[name]]
    return way + [_quantiles(name, inside[name]) for name in sorted(inside)]


def in_force(parts: Iterable[LivePart]) -> list[VersionsInForce]:
    """What decided the last part of each product, newest first.

    Args:
        parts: of one line, oldest first.
    """
    found: dict[str, VersionsInForce] = {}
    for part in parts:
        if (decision := part.decision) is None:
            continue
        found[decision.product_id] = _versions(decision, found.pop(decision.product_id, None))
    return list(found.values())[::-1]


_WAY: Final = ("to_frame", "to_decision", "to_write", "to_acknowledgement")


def _versions(decision: Decision, before: VersionsInForce | None) -> VersionsInForce:
    """Of one part; what it does not say (most parts are not classified) stays as it was."""
    known = before.model_dump() if before else {}
    known |= {"product_id": decision.product_id, "last_at": decision.captured_at}
    if decision.policy_hash:
        known["policy_hash"] = decision.policy_hash
    if decision.inspection is not None:
        known["expert_name"] = decision.inspection.expert_name
        known["expert_version"] = decision.inspection.expert_version
    if (named := decision.classification) is not None:
        known["classifier"] = named.classifier
        known["classifier_version"] = named.exemplars_version or named.model
    return VersionsInForce.model_validate(known)


def _triggered(told: PartOnLine) -> datetime:
    """The window runs from the trigger, so that its end tells it."""
    return told.deadline - timedelta(milliseconds=told.result_window_ms)


def _row(part: LivePart, told: PartOnLine, before: PartOnLine | None) -> TriggerRow:
    decision, answer, triggered = part.decision, part.acknowledgement, _triggered(told)

    def after(at: datetime | None) -> float | None:
        return None if at is None else (at - triggered).total_seconds() * 1000

    is_missed = decision is not None and decision.reason_code is ReasonCode.MISSED_TRIGGER
    is_blind = decision is not None and decision.reason_code is ReasonCode.CAPTURE_FAILED
    is_blind |= decision is None and answer is not None and answer.source is DecisionSource.WATCHDOG
    row = TriggerRow(
        identity=part.identity,
        line=told.line,
        station=told.station,
        part_id=told.part_id,
        product_id=told.product_id,
        plc_boot_id=told.plc_boot_id,
        trigger_seq=told.trigger_seq,
        triggered_at=triggered,
        window_ms=told.result_window_ms,
        frame_ms=None if is_missed or is_blind else after(told.captured_at),
        is_missed=is_missed,
        gap=_gap(told, before),
        is_new_boot=before is not None and before.plc_boot_id != told.plc_boot_id,
    )
    if decision is not None:
        late = [d for d in part.decisions.values() if d.is_late and d is not decision]
        row.decided_ms = after(decision.decided_at)
        row.action, row.source = decision.action.value, decision.source.value
        row.reason_code = decision.reason_code.value
        row.is_watchdog = decision.source is DecisionSource.WATCHDOG and not is_missed
        row.late = tuple(
            LateAnswer(source=d.source, after_ms=after(d.decided_at) or 0.0) for d in late
        )
    if answer is not None:
        row.outcome = answer.outcome.value
        row.action = row.action or answer.action.value
        row.source = row.source or answer.source.value
        row.written_ms = answer.trigger_to_write_ms or after(answer.written_at)
        row.acknowledged_ms = after(answer.acknowledged_at)
        row.headroom_ms = None if row.written_ms is None else row.window_ms - row.written_ms
    return row


def _gap(told: PartOnLine, before: PartOnLine | None) -> int:
    if before is None or before.plc_boot_id != told.plc_boot_id:
        return 0
    skipped = told.trigger_seq - before.trigger_seq - 1
    return skipped if 0 < skipped < GAPS_TOLD else 0


def _quantiles(stage: str, values: list[float]) -> StageLatency:
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)

    return StageLatency(stage=stage, p50_ms=at(0.5), p99_ms=at(0.99), count=len(ordered))
