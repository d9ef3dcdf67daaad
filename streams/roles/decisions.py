"""What becomes of a frame or an anomaly, and what time it is for it: values in, events out."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from streams.codes import (
    Action,
    DecisionSource,
    Evaluation,
    FallbackKind,
    ReasonCode,
    Severity,
)
from streams.events import (
    Anomaly,
    Classification,
    Decision,
    Inspection,
    PartOnLine,
    ShotVerdict,
    decision_id,
)
from streams.kafka.delivery import Delivery
from streams.ports import Failure, Outcome, Policy, Situation

_FALLBACK_KINDS = {
    ReasonCode.LATE: FallbackKind.LATE,
    ReasonCode.EXPERT_UNAVAILABLE: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.UNDECODABLE_IMAGE: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.NO_ARTIFACT: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.UNKNOWN_PRODUCT: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.CLASSIFIER_UNAVAILABLE: FallbackKind.LATE,
}
_BAD_INPUT = {ReasonCode.UNDECODABLE_IMAGE, ReasonCode.MALFORMED_EVENT, ReasonCode.NO_ARTIFACT}
_PART_FIELDS = tuple(PartOnLine.model_fields)


@dataclass(frozen=True)
class Reaction:
    """What is to be sent before the event may be acknowledged."""

    decision: Decision | None = None
    anomaly: Anomaly | None = None
    dead: Failure | None = None
    """Why the original bytes go to the dead-letter topic."""


@dataclass(frozen=True)
class Moment:
    """Now at the part's gateway, and the timings so far by stage in milliseconds."""

    now_s: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    ahead_s: float = 0.0
    """By how much this host's clock was found to be ahead of the gateway's, seconds."""
    earliest_s: float = float("inf")
    """The earliest that it may be there, where that is before ``now_s``."""

    def is_past(self, deadline: datetime) -> bool:
        """Whether that is over for sure; of a part that may be open its gateway judges."""
        return datetime.fromtimestamp(min(self.now_s, self.earliest_s), tz=UTC) > deadline

    def after(self, timings_ms: Mapping[str, float]) -> "Moment":
        """The same with the timings of the stages before."""
        return replace(self, timings_ms={**timings_ms, **self.timings_ms})


# --- An anomaly, after the classifier ---------------------------------------------------------


def classified(
    anomaly: Anomaly,
    answer: Classification | Failure,
    policy: Policy,
    moment: Moment,
    after_another: bool = False,
) -> Reaction:
    """The classifier answered, or cannot answer at all.

    ``after_another``: the fallback stands already, and an answer is a second decision that changes
    no action. Bad input is a dead letter; a classifier that is away is not: the anomaly is kept.
    """
    if isinstance(answer, Failure):
        decision = None if after_another else fallback(anomaly, answer, policy, moment)
        return Reaction(decision, dead=answer if answer.reason_code in _BAD_INPUT else None)
    return Reaction(
        decide(
            anomaly.frame,
            policy,
            DecisionSource.CLASSIFIER,
            moment.after(anomaly.timings_ms),
            anomaly.inspection,
            answer,
            after_another=after_another,
        )
    )


def fallback(
    what: PartOnLine | Anomaly, failure: Failure, policy: Policy, moment: Moment
) -> Decision:
    """No answer in time, or none possible: the policy's fallback, with what the expert saw."""
    source = DecisionSource.FALLBACK
    if not isinstance(what, Anomaly):
        return decide(what, policy, source, moment, failure=failure)
    moment = moment.after(what.timings_ms)
    return decide(what.frame, policy, source, moment, what.inspection, failure=failure)


def evaluation_of(severity: Severity) -> Evaluation:
    """OPC 40001-101: a negligible anomaly is OK; what is unknown is not decidable.

    >>> evaluation_of(Severity.NEGLIGIBLE)
    <Evaluation.OK: 'OK'>
    """
    if severity is Severity.UNKNOWN:
        return Evaluation.NOT_DECIDABLE
    return Evaluation.NOT_OK if severity is Severity.DEFECT else Evaluation.OK


def decide(
    part: PartOnLine,
    policy: Policy,
    source: DecisionSource,
    moment: Moment,
    inspection: Inspection | None = None,
    classification: Classification | None = None,
    failure: Failure | None = None,
    after_another: bool = False,
) -> Decision:
    """One decision, by the policy in force; for one of several shots of a part, its verdict.

    Args:
        part: the frame, or what could be salvaged of it.
        policy: the product's.
        source: who decides; the decision's id derives from it.
        moment: now, and the timings so far.
        inspection: the expert's, if it answered.
        classification: the classifier's, if it answered.
        failure: why a fallback is needed; None for an answer.
        after_another: another decision stands already, so this one is recorded as late.
    """
    started = time.perf_counter()
    outcome = _total(policy, situation_of(part, inspection, classification, failure))
    timings = {**moment.timings_ms, "policy": (time.perf_counter() - started) * 1000}
    decided_at = datetime.fromtimestamp(moment.now_s, tz=UTC)
    fields = {name: getattr(part, name) for name in _PART_FIELDS}
    of_shot = part.shots_expected > 1
    return (ShotVerdict if of_shot else Decision)(
        **fields,
        result_id=decision_id(part.frame_id, source, of_shot),
        source=source,
        evaluation=evaluation_of(outcome.severity),
        class_name=outcome.class_name,
        class_id=outcome.class_id,
        severity=outcome.severity,
        action=outcome.action,
        reason_code=outcome.reason_code,
        reason=outcome.reason[:2048],
        rule=outcome.rule,
        is_late=after_another or moment.is_past(part.deadline),
        policy_hash=policy.policy_hash,
        inspection=inspection,
        classification=classification,
        decided_at=decided_at,
        clock_ahead_s=round(moment.ahead_s, 3),
        timings_ms={name: round(ms, 3) for name, ms in timings.items()},
        golden=None if of_shot else policy.golden(part.part_id, outcome.action, outcome.severity),
    )


def situation_of(
    part: PartOnLine,
    inspection: Inspection | None,
    classification: Classification | None,
    failure: Failure | None,
) -> Situation:
    """What the policy may look at; with a failure, the fallback that fits it."""
    kind = None
    if failure is not None:  # for everything unforeseen: nobody could decide
        kind = _FALLBACK_KINDS.get(failure.reason_code, FallbackKind.NO_DECISION)
    return Situation(
        station=part.station,
        lot_id=part.lot_id,
        inspection=inspection,
        classification=classification,
        fallback=kind,
        failure=failure,
        captured_at=part.captured_at,
        shot=part.shot_name,
    )


def _total(policy: Policy, situation: Situation) -> Outcome:
    """The policy's word; a policy that raises is a defect, and the part is held."""
    try:
        return policy.decide(situation)
    except Exception as error:  # noqa: BLE001 - no part without a decision
        return Outcome(
            action=Action.HOLD,
            severity=Severity.UNKNOWN,
            reason_code=ReasonCode.NO_DECISION,
            reason=f"the policy could not be evaluated: {type(error).__name__}: {error}",
            rule="fallback:policy_error",
        )


# --- When ----------------------------------------------------------------------------------------

Ends = Mapping[tuple[str, int], int]
"""The end of the log by topic and partition."""
SENDING_S = 0.1
"""So long may a message be under way to the broker that says something of a clock, seconds."""
_KEPT_S = 300.0
"""Bounds are kept for one to two times as long: clocks drift by some milliseconds meanwhile."""
_STATIONS = 1024
"""So many stations are remembered; the one that was added first is forgotten beyond."""
_ASKED = 64
"""So many ends of the log are remembered."""


@dataclass
class _Bounds:
    """Bounds of one station's lead, seconds, from the messages since ``since_s``."""

    since_s: float
    most: float = float("inf")
    least: float = float("-inf")


class _Lead:
    """By how much the monotonic clock is ahead of one gateway's wall clock."""

    def __init__(self) -> None:
        self._now = self._before = _Bounds(float("-inf"))

    @property
    def most(self) -> float:
        return min(self._now.most, self._before.most)

    @property
    def least(self) -> float:
        return min(max(self._now.least, self._before.least), self.most)

    def heard(self, arrived_s: float, sent_s: float, absent_s: float | None) -> None:
        if arrived_s - self._now.since_s > _KEPT_S:
            is_recent = arrived_s - self._now.since_s <= 2 * _KEPT_S
            self._before = self._now if is_recent else _Bounds(arrived_s)
            self._now = _Bounds(arrived_s)
        if absent_s is not None:
            least = absent_s - sent_s - SENDING_S
            if least > self.most:  # the gateway's clock was set back
                self._now = self._before = _Bounds(arrived_s)
            self._now.least = max(self._now.least, least)
        self._now.most = min(self._now.most, arrived_s - sent_s)

    def earliest_s(self, monotonic_s: float, wall_s: float) -> float:
        """Until something new came from there, a clock that is ahead looks like a backlog."""
        is_known = self.least > float("-inf")
        return self.gateway_s(monotonic_s, wall_s) if is_known else monotonic_s - self.most

    def gateway_s(self, monotonic_s: float, wall_s: float) -> float:
        """The gateway's wall clock, as ``wall_s`` says it unless that is proven wrong."""
        by_arrival = monotonic_s - self.most
        if by_arrival <= wall_s <= monotonic_s - self.least:
            return wall_s
        return by_arrival


class GatewayClocks:
    """What time it is at each gateway, told from what arrives from there.

    A part's window ends at a moment of its gateway's wall clock. The wall clock of a worker's host
    may be off, and may be set at any time, so what is waited for is counted by the monotonic clock.
    Two things bound by how much that is ahead of a gateway's wall clock, its *lead*:

    * a message was sent before it arrived: the lead is at most what arrival and sending differ by;
    * a message that was not in the log yet when its end was asked for was sent later than that, but
      for the time that sending takes: the lead is at least what asking and sending differ by.

    A wall clock that agrees with both is believed. One that does not is off, and the time is
    counted from the messages' arrival: a window by the age that a part had when it was sent. Before
    the second bound is there, no part is late by our wall clock alone.

    Gateways are named by the key of their messages, ``line/station``.

    Args:
        monotonic: this process's monotonic clock, seconds.
        wall: this host's wall clock, seconds since the epoch.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._leads: dict[str, _Lead] = {}
        self._asked: deque[tuple[float, Ends]] = deque(maxlen=_ASKED)

    def log_ended(self, asked_s: float, ends: Ends) -> None:
        """Where the log ended when it was asked for at ``asked_s`` of the monotonic clock."""
        self._asked.append((asked_s, ends))

    def heard(self, station: str, sent_s: float, delivery: Delivery) -> None:
        """A message arrived that was sent at ``sent_s`` of its gateway's wall clock."""
        lead = self._leads.get(station)
        if lead is None:
            if len(self._leads) >= _STATIONS:
                del self._leads[next(iter(self._leads))]
            lead = self._leads[station] = _Lead()
        lead.heard(delivery.arrived_s, sent_s, self._absent_s(delivery))

    def at_s(self, station: str, monotonic_s: float | None = None) -> float:
        """The wall clock of the station's gateway then, or now, seconds since the epoch."""
        now_s, wall_s, lead = self._monotonic(), self._wall(), self._leads.get(station)
        gateway_s = wall_s if lead is None else lead.gateway_s(now_s, wall_s)
        return gateway_s if monotonic_s is None else gateway_s - (now_s - monotonic_s)

    def due_s(self, station: str, deadline_s: float) -> float:
        """When a moment of the gateway's wall clock is there, by our monotonic clock, at most."""
        at_s = self.earliest_s if self.is_doubted(station, deadline_s) else self.at_s
        return self._monotonic() + deadline_s - at_s(station)

    def is_doubted(self, station: str, deadline_s: float) -> bool:
        """Whether only this host's wall clock says that the moment has passed."""
        return self.earliest_s(station) < deadline_s <= self.at_s(station)

    def earliest_s(self, station: str) -> float:
        """The earliest that it may be at the station's gateway, seconds since the epoch."""
        now_s, wall_s, lead = self._monotonic(), self._wall(), self._leads.get(station)
        return wall_s if lead is None else lead.earliest_s(now_s, wall_s)

    def ahead_s(self, station: str) -> float:
        """By how much this host's wall clock was found to be ahead of the gateway's, or behind
        where negative, seconds; 0 where nothing speaks against it."""
        return self._wall() - self.at_s(station)

    def _absent_s(self, delivery: Delivery) -> float | None:
        """When the message was not in the log yet, by our monotonic clock."""
        place = delivery.topic, delivery.partition
        for asked_s, ends in reversed(self._asked):
            if ends.get(place, delivery.offset + 1) <= delivery.offset:
                return asked_s
        return None
