"""What the gateway counts for Prometheus. It looks on: nothing that it does reaches a part."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry

from connectors.gateway.spool import Spool
from connectors.handshake.state import State
from connectors.handshake.values import Capture, Command, Decide, RecipeReport, ResultReport
from streams.codes import FaultCode, ReasonCode
from streams.exposition import MetricKind, MetricRow, Read, Sampled, in_force

COMMON: Final = ("line", "station")


def _row(
    name: str, kind: MetricKind, help_: str, labels: tuple[str, ...] = (), watch: str = ""
) -> MetricRow:
    return MetricRow(f"andon_gateway_{name}", kind, help_, labels, watch, COMMON)


CAPTURED = _row(
    "captures", "counter", "Parts exposed", watch="No rise while the line runs: it is not Ready."
)
MISSED = _row(
    "missed",
    "counter",
    "Triggers missed: each part is held",
    watch="The log says of each why; at a change-over some are meant.",
)
UNDECIDED = _row(
    "watchdog_decisions",
    "counter",
    "Parts that the gateway decided itself",
    ("reason",),
    "`NO_DECISION`: no answer came in time; `CAPTURE_FAILED`: the camera gave no picture.",
)
RESULTS = _row(
    "results",
    "counter",
    "Results by what the controller made of them",
    ("outcome", "action", "source"),
    "Any outcome but `acknowledged` is a part that the controller decided itself.",
)
RESULT_TIME = _row(
    "trigger_to_result_seconds",
    "histogram",
    "Trigger to result written, of parts that were told",
    watch="The upper quantiles must stay below the result window.",
)
WINDOW_LEFT = _row(
    "window_left_seconds",
    "histogram",
    "Result window left when the result was written",
    watch="The lower quantiles near 0: the next slow part is held.",
)
READY = _row("ready", "gauge", "Whether the next trigger will be captured: 1 or 0")
CONNECTED = _row("plc_connected", "gauge", "Whether the controller is connected: 1 or 0")
ALIVE = _row("plc_alive", "gauge", "Whether the controller's heartbeat moves: 1 or 0")
IN_CHARGE = _row("in_charge", "gauge", "Whether this gateway serves the line: 1 or 0, on stand-by")
FAULT = _row(
    "fault",
    "gauge",
    "Whether the fault stands: 1 or 0",
    ("fault",),
    "[codes.md](codes.md) says of each fault what to do.",
)
CHANGEOVER = _row(
    "changeover_seconds",
    "histogram",
    "Change-over of the recipe, from its request to the answer at the controller",
    ("ended",),
    "`refused`: `andon history changeovers` names the code; most of the time is the slowest part.",
)
OPEN = _row("open_parts", "gauge", "Parts whose outcome is not known yet")
SPOOLED = _row(
    "spooled_messages",
    "gauge",
    "Messages that wait on disk for the broker",
    ("lane",),
    "Rises while Kafka takes less than the line gives.",
)
SPOOLED_BYTES = _row(
    "spooled_bytes",
    "gauge",
    "Size of the messages that wait on disk for the broker",
    ("lane",),
    "All lanes together near the limit: Ready drops, and the line stands.",
)
SPOOL_LIMIT = _row(
    "spool_limit_bytes", "gauge", "Bound of the spool, of all lanes together: `spool_limit_mib`"
)
POLICY = _row(
    "policy_info",
    "gauge",
    "1 for the policy in force for a product",
    ("product", "hash"),
    "Differs from the workers' for long: the gateway no longer hears of policies.",
)
GATEWAY_METRICS: Final = (
    CAPTURED, MISSED, UNDECIDED, RESULTS, RESULT_TIME, WINDOW_LEFT,
    CHANGEOVER, READY, CONNECTED, ALIVE, IN_CHARGE, FAULT, OPEN,
    SPOOLED, SPOOLED_BYTES, SPOOL_LIMIT, POLICY,
)  # fmt: skip
GATEWAY_LABELS: Final = {
    "outcome": "`acknowledged`, `late`, `unacknowledged` or `old_boot`",
    "ended": "`acknowledged`, `refused`, or `superseded` by another request or a new start",
    "fault": "the name of the FaultCode ([codes.md](codes.md))",
    "lane": "`words`, `pictures` or `large` (pictures by reference): which messages wait",
}


class GatewayMeter:
    """Counts what the handshake does, step by step.

    Args:
        line: name of the line, a label of every metric.
        station: name of the station, likewise.
        in_charge: whether this gateway serves the controller now.
        spools: lane -> where its messages wait on disk; looked at at each scrape.
        spool_limit: bound of all spools together, bytes.
        policies: product -> the hash of the policy in force; asked at each scrape.
    """

    def __init__(
        self,
        line: str,
        station: str,
        in_charge: Callable[[], bool],
        spools: Mapping[str, Spool],
        spool_limit: int,
        policies: Callable[[], Mapping[str, str]],
    ) -> None:
        self.registry = registry = CollectorRegistry()
        self._place = place = (line, station)
        self._captured = CAPTURED.counter(registry).labels(*place)
        self._missed = MISSED.counter(registry).labels(*place)
        self._undecided = UNDECIDED.counter(registry)
        self._results = RESULTS.counter(registry)
        self._result_time = RESULT_TIME.histogram(registry).labels(*place)
        self._window_left = WINDOW_LEFT.histogram(registry).labels(*place)
        self._changeover = CHANGEOVER.histogram(registry)
        self._ready = READY.gauge(registry).labels(*place)
        self._connected = CONNECTED.gauge(registry).labels(*place)
        self._alive = ALIVE.gauge(registry).labels(*place)
        self._open = OPEN.gauge(registry).labels(*place)
        self._faults = FAULT.gauge(registry)
        IN_CHARGE.gauge(registry).labels(*place).set_function(lambda: float(in_charge()))
        SPOOL_LIMIT.gauge(registry).labels(*place).set(spool_limit)
        reads: Mapping[MetricRow, Read] = {
            SPOOLED: lambda: {(lane,): float(len(spool)) for lane, spool in spools.items()},
            SPOOLED_BYTES: lambda: {(k,): float(one.size_bytes) for k, one in spools.items()},
            POLICY: lambda: in_force(policies()),
        }
        for row, read in reads.items():
            registry.register(Sampled(row, read, place))
        for reason in (ReasonCode.NO_DECISION, ReasonCode.CAPTURE_FAILED):
            self._undecided.labels(*place, reason.name)
        for code in FaultCode:  # each is there from the beginning: an alert sees it rise
            if code is not FaultCode.NONE:
                self._faults.labels(*place, code.name).set(0)

    def saw(self, before: State, after: State, commands: Sequence[Command]) -> None:
        """Count what one step of the handshake changed and ordered."""
        self._ready.set(after.ready)
        self._connected.set(after.online)
        self._alive.set(after.alive)
        self._open.set(len(after.parts))
        for code in before.faults ^ after.faults:
            self._faults.labels(*self._place, code.name).set(code in after.faults)
        for command in commands:
            match command:
                case Capture():
                    self._captured.inc()
                case Decide(_, ReasonCode.MISSED_TRIGGER):
                    self._missed.inc()
                case Decide(_, reason):
                    self._undecided.labels(*self._place, reason.name).inc()
                case ResultReport():
                    self._reported(command)
                case RecipeReport():
                    self._changed(command)

    def _changed(self, report: RecipeReport) -> None:
        refusal = report.refusal
        refused = "superseded" if refusal and refusal[0] is FaultCode.NONE else "refused"
        ended = "acknowledged" if refusal is None else refused
        took_s = report.ended_at - report.changeover.began_at
        self._changeover.labels(*self._place, ended).observe(took_s)

    def _reported(self, report: ResultReport) -> None:
        verdict, part = report.verdict, report.part
        labels = (report.outcome.value, verdict.code.name.lower(), verdict.source.value)
        self._results.labels(*self._place, *labels).inc()
        if part is None or part.verdict is not verdict or part.written_at is None:
            return
        self._result_time.observe(part.written_at - part.triggered_at)
        if not part.missed:
            self._window_left.observe(max(part.deadline - part.written_at, 0.0))
