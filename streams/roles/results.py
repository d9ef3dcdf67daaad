"""What a role gives out: its results, until the broker has them, however long it is away; its
metrics; and log lines when something changes.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from prometheus_client import CollectorRegistry, Histogram

from streams.backoff import backoff_s
from streams.codes import LOST_TO_RETENTION, ReasonCode, Stage
from streams.envelope import Message, header_dict, to_message
from streams.errors import UnavailableError
from streams.events import Alert, Decision, PartOnLine, ShotVerdict
from streams.exposition import MetricRow
from streams.failures import cause_of, named
from streams.kafka.delivery import Delivery, dead_letter, refused_letter, without_value
from streams.kafka.retention import LostSpan
from streams.log import Log, Outage
from streams.patience import Tries
from streams.ports import Failure, PolicySource, Publisher
from streams.roles import metrics
from streams.roles.clocks import GatewayClocks, LineWaits
from streams.roles.config import FlowConfig
from streams.roles.decisions import Moment, Reaction, fallback
from streams.roles.salvage import readable_frame_id, salvage
from streams.topics import ALERTS, ANOMALIES, DEAD, DECISIONS, SHOTS

T = TypeVar("T")
_AWAY = (
    ReasonCode.LATE,
    ReasonCode.EXPERT_UNAVAILABLE,
    ReasonCode.CLASSIFIER_UNAVAILABLE,
    ReasonCode.NO_ARTIFACT,
)
SKEW_SHARE = 0.25
"""A clock that is off by more than this share of the result window is said."""
_FOR_OTHERS = 0.1
"""The share of its window that a part waits where its age is in doubt."""


class Telemetry:
    """Counters and latencies by role, in a registry of its own, and a log line per change of state.

    Args:
        role: the label of every metric.
        log: takes an event's name and its fields.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        role: str,
        log: Log = lambda *_, **__: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = CollectorRegistry()
        self.role = role
        self.log = log
        self._clock = clock
        self._outages: dict[str, Outage] = {}
        self.models: dict[str, str] = {}  # product -> the expert's version by the last decision
        self.policies: Callable[[], Mapping[str, str]] = dict  # product -> hash of the one in force
        self._counters = metrics.counters(self.registry)
        self._histograms = metrics.histograms(self.registry)
        self.waits = LineWaits(clock)
        self._observed: dict[tuple[str, str], Histogram] = {}
        self._in_flight = metrics.HELD.gauge(self.registry).labels(self.role)
        self._skew = metrics.SKEW.gauge(self.registry)
        self._off: set[str] = set()
        self._in_flight_bytes = metrics.HELD_BYTES.gauge(self.registry).labels(self.role)

    def count(self, row: MetricRow, *labels: str, by: float = 1.0) -> None:
        """Count one, or more, with the values of the row's own labels."""
        self._counters[row.name].labels(self.role, *labels).inc(by)

    def observe(self, row: MetricRow, label: str, value: float) -> None:
        """Take one value of a histogram that has one label of its own."""
        key = (row.name, label)
        if key not in self._observed:  # once: the look-up costs as much as the observation
            self._observed[key] = self._histograms[row.name].labels(self.role, label)
        self._observed[key].observe(value)

    def event(self, topic: str) -> None:
        """An event arrived."""
        self.count(metrics.EVENTS, topic)

    def decision(self, decision: Decision) -> None:
        """A decision was published."""
        if decision.inspection is not None:
            self.models[decision.product_id] = decision.inspection.expert_version
        who = (decision.source.value, decision.action.value, decision.reason_code.name)
        self.count(metrics.DECIDED, decision.line, decision.product_id, *who)

    def verdict(self, verdict: ShotVerdict) -> None:
        """The verdict on one of several shots was published."""
        self.count(metrics.VERDICTS, verdict.source.value, verdict.action.value)

    def alert(self, alert: Alert) -> None:
        """An alert was published."""
        self.count(metrics.ALERTED, *metrics.alert_labels(alert))

    def dead_letter(self, error_type: str) -> None:
        """A dead letter was published."""
        self.count(metrics.LETTERS, error_type)

    def failed(self, what: str, error: Exception) -> None:
        """A call to ``what`` (``broker``, ``history`` ...) failed and will be repeated.

        However many events wait, the log says so once for each cause, now and then, and at its end.
        """
        self.count(metrics.RETRIES, what)
        self._lacking(what, f"{type(error).__name__} {cause_of(error)}", str(error))

    def answered(self, what: str, failure: Failure | None) -> None:
        """``what`` (``expert``, ``classifier``) answered in time, or did not; a failure that speaks
        of the part says nothing of who was asked."""
        if failure is None:
            self.succeeded(what)
        elif failure.reason_code in _AWAY:
            kind = f"{failure.reason_code.name} {failure.error_type}"
            self._lacking(what, kind, f"{kind}: {failure.message}")

    def _lacking(self, what: str, kind: str, why: str) -> None:
        told = self._outages.setdefault(what, Outage(self._clock)).failed(kind)
        if told is not None and told.is_new:
            self.log("away", what=what, error=why)
        elif told is not None:
            seconds = round(told.seconds)
            self.log("still away", what=what, seconds=seconds, failures=told.failures, error=why)

    def succeeded(self, what: str) -> None:
        """A call to ``what`` was answered."""
        outage = self._outages.get(what)
        if outage is not None and (told := outage.ended()) is not None:
            self.log("back", what=what, seconds=told.seconds, failures=told.failures)

    def stages(self, timings_ms: Mapping[str, float]) -> None:
        """Latency by stage, milliseconds."""
        for stage, ms in timings_ms.items():
            self.observe(metrics.STAGES, stage, ms / 1000)

    def clock(self, station: str, ahead_s: float, window_s: float) -> None:
        """So far is this host's clock ahead of a gateway's, seconds; the log says if it is off."""
        self._skew.labels(self.role, station).set(round(ahead_s, 3))
        is_off = abs(ahead_s) > SKEW_SHARE * window_s
        if is_off != (station in self._off):
            (self._off.add if is_off else self._off.discard)(station)
            said = "clock skew" if is_off else "clock skew ended"
            self.log(said, station=station, ahead_s=round(ahead_s, 3))

    def is_off(self, station: str) -> bool:
        """Whether the last message of a gateway told that the clocks differ."""
        return station in self._off

    def watch(self, events: Callable[[], int], size: Callable[[], int]) -> None:
        """Read the events and bytes in flight when scraped."""
        self._in_flight.set_function(events)
        self._in_flight_bytes.set_function(size)


@dataclass(eq=False)
class Results:
    """Publishes what a role decides, and counts it. Retries while the broker is away."""

    stage: Stage
    """The role's, as its dead letters name it."""
    publisher: Publisher
    telemetry: Telemetry
    flow: FlowConfig
    clocks: GatewayClocks = field(default_factory=GatewayClocks)
    """What time it is at the gateways of the parts."""
    _served: Counter[str] = field(default_factory=Counter, init=False)

    def heard(self, part: PartOnLine, sent_s: float, delivery: Delivery) -> None:
        """A message of a part arrived that was sent at ``sent_s`` of its gateway's clock."""
        self.clocks.heard(part.key, sent_s, delivery)
        ahead_s = self.clocks.ahead_s(part.key)
        self.telemetry.clock(part.key, ahead_s, part.result_window_ms / 1000)
        self.telemetry.waits.heard(part.line, self.clocks.at_s(part.key) - sent_s)

    def in_words(self, failure: Failure, part: PartOnLine) -> Failure:
        """A failure to answer in time, with the clocks as a cause where they are off."""
        ahead_s = self.clocks.ahead_s(part.key)
        if failure.reason_code is not ReasonCode.LATE or not self.telemetry.is_off(part.key):
            return failure
        side = "ahead of" if ahead_s > 0 else "behind"
        said = f"clock skew: this host's clock is {abs(ahead_s):.1f} s {side} the gateway's"
        return replace(failure, message=f"{failure.message}; {said}")

    async def due_s(self, part: PartOnLine) -> float:
        """When its fallback is due, by our monotonic clock. A part that is late by our wall clock
        alone waits a little for those behind it in the log, which know of a later time."""
        ends_s = part.deadline.timestamp() - self.flow.margin_s
        if self.clocks.is_doubted(part.key, ends_s):
            await asyncio.sleep(_FOR_OTHERS * part.result_window_ms / 1000)
        return self.clocks.due_s(part.key, ends_s)

    def moment(self, station: str, timings_ms: Mapping[str, float] | None = None) -> Moment:
        """Now at the gateway of the station, and the timings so far."""
        clocks, ahead_s = self.clocks, self.clocks.ahead_s(station)
        return Moment(clocks.at_s(station), timings_ms or {}, ahead_s, clocks.earliest_s(station))

    async def reaction(self, delivery: Delivery, frame_id: UUID, reaction: Reaction) -> None:
        """Everything that an event led to."""
        if reaction.decision is not None:
            await self.decision(reaction.decision)
        if reaction.anomaly is not None:
            await self.send(ANOMALIES.name, to_message(reaction.anomaly, delivery.value))
        if reaction.dead is not None:
            await self._failed(delivery, reaction.dead, frame_id)

    async def decision(self, decision: Decision) -> None:
        """Publish a decision to ``andon.decisions``; the verdict on a shot to ``andon.shots``."""
        if isinstance(decision, ShotVerdict):
            await self.send(SHOTS.name, to_message(decision))
            self.telemetry.verdict(decision)
            return
        await self.send(DECISIONS.name, to_message(decision))
        self.telemetry.decision(decision)

    async def alert(self, alert: Alert) -> None:
        """Publish an alert to ``andon.alerts``."""
        stop = alert.request_stop
        self.telemetry.log("limit exceeded", limit=alert.limit, why=alert.reason, stop=stop)
        await self.send(ALERTS.name, to_message(alert))
        self.telemetry.alert(alert)

    async def dead_letter(
        self, delivery: Delivery, error_type: str, error: str, frame_id: UUID | None = None
    ) -> None:
        """The original bytes to ``andon.dead``."""
        self.telemetry.log("dead letter", error_type=error_type, error=error)
        letter = dead_letter(delivery, self.stage, error_type, error, datetime.now(UTC), frame_id)
        await self.send(DEAD.name, letter)
        self.telemetry.dead_letter(error_type)

    async def lost(self, span: LostSpan) -> None:
        """Messages that no worker of the role will read: a dead letter without bytes."""
        said = {"topic": span.topic, "partition": span.partition, "first": span.first}
        self.telemetry.log("messages were lost to retention", **said, last=span.last)
        await self.send(DEAD.name, span.letter(self.stage, datetime.now(UTC)))
        self.telemetry.dead_letter(LOST_TO_RETENTION)

    async def unreadable(
        self,
        delivery: Delivery,
        fields: Mapping[str, object],
        error: Exception,
        code: ReasonCode,
        policies: PolicySource | None,
    ) -> None:
        """A dead letter, and the policy's fallback if the part can be read.

        Args:
            fields: what the event's headers say of the part, unvalidated.
            policies: None when the part is decided already.
        """
        failure = Failure(code, type(error).__name__, str(error))
        try:
            part = salvage(delivery, fields)
        except Exception as unread:  # noqa: BLE001 - the letter is sent whatever stands in it
            self.telemetry.log("nothing can be salvaged", error=repr(unread))
            part = None
        if part is not None and policies is not None:
            policy = policies.for_product(part.product_id)
            await self.decision(fallback(part, failure, policy, self.moment(part.key)))
        frame_id = part.frame_id if part else readable_frame_id(fields)
        await self._failed(delivery, failure, frame_id)

    async def _failed(self, delivery: Delivery, failure: Failure, frame_id: UUID | None) -> None:
        """A dead letter under the reason's name, so that it can be counted and searched."""
        code, error = failure.reason_code, failure.error_type
        name = error if code is ReasonCode.NONE else code.name
        detail = f"{error}: {failure.message}" if failure.message else error
        await self.dead_letter(delivery, name, detail, frame_id)

    async def send(self, topic: str, message: Message) -> None:
        """Return once the broker has it; the caller's event stays unacknowledged until then.

        What the broker refuses for good becomes a dead letter, and the caller goes on.
        """
        error = await self.attempt("publish", partial(self.publisher.send, topic, message))
        if error is None:
            return
        if topic == DEAD.name:
            await self._letter_alone(message, error)
            return
        self.telemetry.log("a message was refused", topic=topic, error=str(error))
        said, now = str(error), datetime.now(UTC)
        letter = refused_letter(topic, message, self.stage, named(error), said, now)
        await self.send(DEAD.name, letter)
        self.telemetry.dead_letter(named(error))

    async def _letter_alone(self, letter: Message, error: Exception) -> None:
        """A refused letter: without the original's bytes, or in the log at least."""
        if letter.value:
            send = partial(self.publisher.send, DEAD.name, without_value(letter))
            again = await self.attempt("publish", send)
            if again is None:
                return
            error = again
        said = header_dict(letter.headers)
        self.telemetry.log("a dead letter was refused", error=str(error), letter=said)

    async def attempt(self, what: str, call: Callable[[], Awaitable[None]]) -> Exception | None:
        """Repeat the call until it succeeds, however long ``what`` is away.

        Returns:
            None, or the error with which this one message is to be set aside: ``what`` refused it
            for good, or failed it again and again while it did what others asked.
        """
        tries, began = None, self._served[what]
        while True:
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - a defect of an adapter is a failure too
                tries = tries or Tries(self.flow.aside_after, began)
                if tries.failed(error, self._served[what]):
                    return error
                self.telemetry.failed(what, error)
            else:
                self._served[what] += 1
                self.telemetry.succeeded(what)
                return None
            await asyncio.sleep(self._pause_s(tries.attempts - 1))

    async def until_available(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, however long it raises ``UnavailableError``."""
        for attempt in itertools.count():
            try:
                result = await call()
            except UnavailableError as error:
                self.telemetry.failed(what, error)
            else:
                self.telemetry.succeeded(what)
                return result
            await asyncio.sleep(self._pause_s(attempt))
        raise AssertionError("unreachable")

    def _pause_s(self, attempt: int) -> float:
        return backoff_s(attempt, self.flow.retry_s, self.flow.retry_cap_s, jitter=0.3)
