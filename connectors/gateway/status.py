"""How the gateway is, for people who watch the line. It looks on, and nothing waits for it."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.gateway.host_clock import clock_status
from connectors.gateway.part_events import utc
from connectors.handshake.signals import Signal, SignalValue, SignalValues
from connectors.handshake.state import BLOCKING_FAULTS, State
from connectors.handshake.values import (
    Capture,
    Command,
    Connected,
    Decide,
    ResultReport,
    TriggerAge,
)
from connectors.line_link import Changed, LineLink, LinkEvent
from connectors.settings import GatewaySettings
from streams.codes import AckOutcome, FaultCode, ReasonCode
from streams.names import normal_form
from streams.status import (
    GatewayCounts,
    GatewayState,
    LinePhase,
    ProcessStatus,
    SignalNow,
    StandingFault,
)


class WatchedLink:
    """``LineLink`` that remembers what was read from the controller, and written to it, last."""

    def __init__(self, link: LineLink) -> None:
        self._link = link
        self.values: dict[Signal, SignalValue] = {}
        """Signal -> its last value; nothing while the controller is not connected."""

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        """As the port says."""

        def heard(event: LinkEvent) -> None:
            match event:
                case Connected(values):
                    self.values = dict(values)
                case Changed(values):
                    self.values.update(values)
                case _:
                    self.values = {}
            on_event(event)

        await self._link.run(heard)

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        """As the port says."""
        found = await self._link.read(signals)
        self.values.update(found)
        return found

    def trigger_age(self) -> TriggerAge:
        """As the port says."""
        return self._link.trigger_age()

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        """As the port says."""
        refused = await self._link.write(values)
        self.values.update(values)
        return refused


def phase_of(state: State | None, in_charge: bool, owner: int) -> LinePhase:
    """Where the gateway stands in the state chart.

    Args:
        state: of the handshake; None before its first step.
        in_charge: whether it serves the controller.
        owner: the number of whichever gateway does; 0 where nobody is known to.
    """
    if not in_charge and owner:
        return LinePhase.STANDBY
    if state is None or not state.online:
        return LinePhase.DISCONNECTED
    if not state.alive:
        return LinePhase.SILENT
    if state.faults & BLOCKING_FAULTS:
        return LinePhase.FAULT
    if not state.has_recipe:
        return LinePhase.CHANGEOVER
    if state.exposing is not None:
        return LinePhase.EXPOSING
    return LinePhase.READY if state.ready else LinePhase.FULL


@dataclass(eq=False)
class GatewayWatch:
    """What the gateway's steps led to, and how it is now.

    Args:
        settings: of the station.
        link: what was read and written last.
        instance: names the gateway among those of the station.
        version: of Andon.
        in_charge: whether it serves the controller now.
        owner: the number of the gateway in charge, as the controller's heartbeat has it; 0: none.
        waiting: lane -> how many messages wait on disk.
        policies: product -> the hash of the policy in force.
        every_s: seconds between two messages, at most.
    """

    settings: GatewaySettings
    link: WatchedLink
    instance: str
    version: str
    in_charge: Callable[[], bool]
    owner: Callable[[], int]
    waiting: Mapping[str, Callable[[], int]]
    policies: Callable[[], Mapping[str, str]]
    every_s: float
    _state: State | None = None
    _since: dict[FaultCode, datetime] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _product: str = ""
    _window_ms: int = 0
    _started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def saw(self, before: State, after: State, commands: Sequence[Command]) -> None:
        """Take note of one step of the handshake: it costs some additions."""
        self._state = after
        if before.faults != after.faults:
            now = utc(time.time())
            standing = {code: self._since.get(code, now) for code in after.faults}
            self._since = standing
        self._counts["overruns"] += after.overrun and not before.overrun
        for command in commands:
            match command:
                case Capture(part):
                    self._counts["captured"] += 1
                    self._product = part.trigger.product_id
                    self._window_ms = round((part.deadline - part.triggered_at) * 1000)
                case Decide(_, ReasonCode.MISSED_TRIGGER):
                    self._counts["missed"] += 1
                case Decide():
                    self._counts["watchdog"] += 1
                case ResultReport():
                    self._counts[command.outcome.value] += 1

    def look(self) -> ProcessStatus:
        """How it is now."""
        now = datetime.now(UTC)
        return ProcessStatus(
            role="gateway",
            instance=f"{self.settings.line}/{self.settings.station}/{self.instance}",
            host=self.instance.rpartition("-")[0],
            version=self.version,
            started_at=self._started_at,
            at=now,
            number=1,
            every_s=self.every_s,
            clock_status=clock_status(),
            policies=dict(self.policies()),
            gateway=self._gateway(),
        )

    def _gateway(self) -> GatewayState:
        state, in_charge = self._state, self.in_charge()
        phase = phase_of(state, in_charge, self.owner())
        own, counts = self.settings, self._counts
        found = GatewayState(
            line=own.line,
            station=own.station,
            phase=phase,
            in_charge=in_charge,
            owner=self.owner(),
            plc=own.plc_url[:512],
            counts=GatewayCounts(
                captured=counts["captured"],
                missed=counts["missed"],
                watchdog=counts["watchdog"],
                acknowledged=counts[AckOutcome.ACKNOWLEDGED.value],
                unacknowledged=counts[AckOutcome.UNACKNOWLEDGED.value],
                late=counts[AckOutcome.LATE.value],
                overruns=counts["overruns"],
            ),
            spooled={lane: count() for lane, count in self.waiting.items()},
            product_id=normal_form(self._product)[:512],
            result_window_ms=max(self._window_ms, 0),
            is_simulated=own.is_simulated,
        )
        return found if state is None else found.model_copy(update=self._of(state))

    def _of(self, state: State) -> dict[str, object]:
        """What the handshake's state says."""
        shown = {**self.link.values, **state.outputs} if state.online else {}
        signals = {s.wire_name: _plain(shown[s]) for s in Signal if s in shown}
        return {
            "why_not_ready": state.why_not_ready[:512] if state.online else "",
            "is_connected": state.online,
            "is_alive": state.alive,
            "plc_boot_id": state.plc_boot_id or 0,
            "signals": signals,
            "fault_code": state.fault_code,
            "faults": tuple(
                StandingFault(code=code, since=self._since[code])
                for code in sorted(state.faults & self._since.keys())
            ),
            "open_parts": len(state.parts),
            "pending_results": state.pending,
            "recipe": state.recipe_active,
        }


def _plain(value: SignalValue) -> SignalNow:
    """A signal's value as JSON holds it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return value[:512]
    return value
