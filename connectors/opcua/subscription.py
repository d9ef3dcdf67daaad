"""The subscription on the watched signals: one ``Changed`` for each publish response."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from asyncua import Client, ua

from connectors.handshake.signals import NEEDED, WATCHED, Signal, SignalValue, SignalValues, number
from connectors.handshake.values import Connected
from connectors.line_link import Changed, LinkEvent
from connectors.opcua.node_set import NodeSet, absence, in_parts
from connectors.opcua.trigger_time import TriggerTime

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Intervals:
    """What the server granted, milliseconds; each adds to the trigger's latency."""

    publishing_ms: float
    sampling_ms: float


class Notifications:
    """Turns each publish response into one ``Changed``, held back until ``Connected`` went out."""

    def __init__(self, nodes: NodeSet, lost: Callable[[str], None]) -> None:
        self._nodes = nodes
        self._held: list[LinkEvent] = []
        self._forward: Callable[[LinkEvent], None] | None = None
        self._tell_lost = lost
        self.trigger_time = TriggerTime()
        self._unusable: set[Signal] = set()
        """Watched signals whose value cannot be used now: said once."""
        self.beat: SignalValue = 0
        """The controller's heartbeat as it was told last, and when."""
        self.beat_at = time.monotonic()
        self.late_s = 0.0
        """So late a change may be told by the intervals that the server granted, seconds."""
        self._toggles: int | None = None
        """How often a heartbeat that toggles was told."""
        self._told: dict[Signal, SignalValue] = {}
        self._behind: dict[Signal, tuple[SignalValue | None, float]] = {}
        """What was told of a signal that shows something else, and since when that is known."""

    def start(self, connected: Connected) -> None:
        values = connected.values
        self._held.insert(0, connected)
        self._told.update(values)
        self.beat, self.beat_at = values[Signal.PLC_HEARTBEAT], time.monotonic()

    def forward(self, on_event: Callable[[LinkEvent], None]) -> None:
        for event in self._held:
            on_event(event)
        self._held, self._forward = [], on_event

    async def __call__(self, result: ua.PublishResult) -> None:
        moved: dict[Signal, SignalValue] = {}
        now, stamps = time.monotonic(), dict[Signal, float]()
        for notification in result.NotificationMessage.NotificationData or ():
            if isinstance(notification, ua.StatusChangeNotification):
                self._tell_lost(f"the subscription ended: {notification.Status}")
            for item in getattr(notification, "MonitoredItems", ()):
                signal = WATCHED[item.ClientHandle]
                self._take(moved, signal, item.Value)
                if signal in moved and (stamp := seconds_of(item.Value.SourceTimestamp)):
                    stamps[signal] = stamp
        self._take_times(moved, stamps, result.NotificationMessage.PublishTime, now)
        self._told.update(moved)
        if moved:
            self.tell(moved)

    def _take_times(
        self,
        moved: SignalValues,
        stamps: Mapping[Signal, float],
        published: datetime | None,
        now: float,
    ) -> None:
        times, server = self.trigger_time, seconds_of(published)
        if server is None:
            return
        if Signal.PLC_HEARTBEAT in stamps and self._forward is not None:
            # before that came the value of the start, which may be old
            times.beat(stamps[Signal.PLC_HEARTBEAT], server)
        if Signal.TRIGGER_SEQ in stamps:
            times.told(number(moved, Signal.TRIGGER_SEQ), stamps[Signal.TRIGGER_SEQ])
        times.published(server, now, Signal.TRIGGER_SEQ not in moved)

    def _take(
        self, moved: dict[Signal, SignalValue], signal: Signal, value: ua.DataValue | None
    ) -> None:
        """A value of no good quality is not acted on: a reset, say, that nobody asked for."""
        if value is None:
            return
        try:
            found = self._nodes.value(signal, value)
            if value.Value is not None and value.Value.Value is not None:
                moved[signal] = self._counted(found) if self._is_toggled(signal) else found
        except ValueError as error:
            if (gone := absence(value)) is not None:
                self._tell_lost(f"{signal.wire_name} is gone ({gone}): the controller was changed")
            if signal not in self._unusable:
                told = {"signal": signal.wire_name, "found": str(error)}
                log.warning("plc.value_unusable", **told)
            self._unusable.add(signal)
        else:
            self._unusable.discard(signal)

    def _is_toggled(self, signal: Signal) -> bool:
        kind = self._nodes.kinds.get(signal)
        return signal is Signal.PLC_HEARTBEAT and kind is ua.VariantType.Boolean

    def _counted(self, flag: SignalValue) -> int:
        """A heartbeat that toggles, as a count whose lowest bit is the flag.

        The first notification shows how it stood; each further one says that it moved, also where
        a server publishes so seldom that it moved twice and shows the same.
        """
        if self._toggles is None:
            self._toggles = int(bool(flag))
        else:
            self._toggles += 2 if self._toggles % 2 == flag else 1
        return self._toggles & 0xFFFFFFFF

    def shows_beat(self, read: SignalValues) -> bool:
        """Whether what was read is the heartbeat that was told last; so is nothing."""
        if Signal.PLC_HEARTBEAT not in read:
            return True
        found, told = (number(shown, Signal.PLC_HEARTBEAT) for shown in (read, self._told))
        return found == (told % 2 if self._is_toggled(Signal.PLC_HEARTBEAT) else told)

    @property
    def is_behind(self) -> bool:
        """Whether the last look found something of which nothing had been told yet."""
        return bool(self._behind)

    def behind(self, read: SignalValues, more_s: float) -> Signal | None:
        """A watched signal of which nothing is told though it was read otherwise.

        Args:
            read: what the controller shows.
            more_s: a notification may take so much longer than its intervals, seconds.
        """
        now = time.monotonic()
        for signal, value in read.items():
            told = self._told.get(signal)
            if value == told:
                self._behind.pop(signal, None)
                continue
            before, since = self._behind.get(signal, (told, now))
            if before != told:
                since = now
            self._behind[signal] = told, since
            if now - since > self.late_s + more_s:
                return signal
        return None

    def tell(self, moved: SignalValues) -> None:
        """Pass on what moved."""
        if Signal.PLC_HEARTBEAT in moved:
            self.beat, self.beat_at = moved[Signal.PLC_HEARTBEAT], time.monotonic()
        event = Changed(moved)
        if self._forward is None:
            self._held.append(event)
        else:
            self._forward(event)


async def subscribe(
    client: Client, nodes: NodeSet, interval_ms: float, events: Notifications
) -> Intervals:
    """One subscription on the watched signals; the newest value of each is enough (counters).

    A signal that cannot be watched is left out of ``nodes``.
    """
    params = ua.CreateSubscriptionParameters()
    params.RequestedPublishingInterval = interval_ms
    params.RequestedLifetimeCount = 10_000
    params.RequestedMaxKeepAliveCount = max(int(1000 / interval_ms), 1)
    params.PublishingEnabled = True
    created = await client.uaclient.create_subscription(params, events)
    watched = [signal for signal in WATCHED if signal in nodes.ids]

    async def watch(some: Sequence[Signal]) -> list[ua.MonitoredItemCreateResult]:
        request = ua.CreateMonitoredItemsParameters()
        request.SubscriptionId = created.SubscriptionId
        request.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.ItemsToCreate = [
            _monitored(nodes.ids[signal], WATCHED.index(signal), interval_ms) for signal in some
        ]
        answer: list[ua.MonitoredItemCreateResult]
        answer = await client.uaclient.create_monitored_items(request)
        return answer

    results = await in_parts(watch, watched) if watched else []
    sampling_ms = interval_ms
    for signal, result in zip(watched, results, strict=True):
        if result.StatusCode.is_good():
            sampling_ms = max(sampling_ms, float(result.RevisedSamplingInterval or 0.0))
        else:
            fix = "let it be subscribed to"
            more = "" if signal in NEEDED else f", or set gateway.signals.{signal.wire_name}=none"
            nodes.leave_out(signal, f"cannot be watched ({result.StatusCode.name})", fix + more)
    granted = Intervals(float(created.RevisedPublishingInterval or interval_ms), sampling_ms)
    events.trigger_time.granted(granted.publishing_ms / 1000, granted.sampling_ms / 1000)
    events.late_s = (granted.publishing_ms + granted.sampling_ms) / 1000
    return granted


def seconds_of(stamp: datetime | None) -> float | None:
    """A server's time stamp as seconds since the epoch; None where it gave none."""
    if stamp is None:
        return None
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _monitored(node: ua.NodeId, handle: int, interval_ms: float) -> ua.MonitoredItemCreateRequest:
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
    item.MonitoringMode = ua.MonitoringMode.Reporting
    item.RequestedParameters = ua.MonitoringParameters(
        ClientHandle=handle, SamplingInterval=interval_ms, QueueSize=1, DiscardOldest=True
    )
    return item
