"""The line controller over OPC UA: one supervisor, a new asyncua client per connection loss.

asyncua's own ``auto_reconnect`` is not used: after a second cut its subscriptions stayed silent
while the state said connected (ADR 0010).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import TypeVar

import structlog
from asyncua import Client, ua

from connectors.errors import LinkError, NodeSetError
from connectors.handshake.signals import WATCHED, Signal, SignalValue, SignalValues
from connectors.handshake.values import Connected, Notice
from connectors.line_link import Changed, LinkEvent
from connectors.opcua.nodes import checked_value, data_value, is_usable, node_ids, value_at_start
from connectors.opcua.secured import connect, make_client, warn_unless_secured
from connectors.settings import GatewaySettings
from streams.backoff import backoff_s
from streams.cancellation import asked_to_end
from streams.errors import AndonError
from streams.log import Outage

log = structlog.get_logger(__name__)
T = TypeVar("T")
_VALUE = ua.AttributeIds.Value
_ON_ITS_WAY_S = 0.2
"""A notification of what was just read may still come for this long, seconds."""
_FOR_GOOD = frozenset(
    {
        "BadUserAccessDenied",
        "BadNotWritable",
        "BadWriteNotSupported",
        "BadTypeMismatch",
        "BadOutOfRange",
        "BadNodeIdUnknown",
        "BadNodeIdInvalid",
        "BadAttributeIdInvalid",
        "BadNotSupported",
    }
)
"""Statuses of one node that another attempt, or another connection, gets again."""
_SESSION_MS = 10_000
"""The server may forget a broken connection's session, and its subscription, after this."""


class LinkState(Enum):
    """The supervisor's state of one connection."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    BACKING_OFF = "backing_off"


class OpcUaLink:
    """``LineLink`` over OPC UA.

    Args:
        settings: the controller's address, security and node set, deadlines and the cap of the
            back-off.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._url = settings.plc_url
        self._timeout = settings.plc_timeout_s
        self._state = LinkState.DISCONNECTED
        self._client: Client | None = None
        self._nodes: dict[Signal, ua.NodeId] = {}
        self._lost = asyncio.Event()
        self._reason = ""
        self._outage = Outage()
        self._refused: set[Signal] = set()
        """Signals that the controller does not let this connection write."""

    def drop(self, reason: str) -> None:
        if not self._lost.is_set():
            self._reason = reason
            self._lost.set()

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        attempt = 0
        warn_unless_secured(self._settings)
        try:
            while True:
                connected = await self._one_connection(on_event)
                attempt = 0 if connected else attempt + 1
                self._enter(LinkState.BACKING_OFF)
                longest_s = self._settings.reconnect_max_s
                await asyncio.sleep(backoff_s(attempt, 0.1, longest_s, jitter=0.5))
        finally:
            self._enter(LinkState.DISCONNECTED)

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        wanted = list(signals)
        client = self._current()
        values = await self._guard(
            client.uaclient.read_attributes([self._nodes[s] for s in wanted], _VALUE)
        )
        found: dict[Signal, SignalValue] = {}
        for signal, value in zip(wanted, values, strict=True):
            if is_usable(value):
                found[signal] = self._checked(signal, value)
            else:
                told = {"signal": signal.wire_name, "quality": value.StatusCode.name}
                log.warning("plc.signal_unusable", url=self._url, **told)
        return found

    def _checked(self, signal: Signal, value: ua.DataValue) -> SignalValue:
        try:
            return checked_value(signal, value)
        except NodeSetError as error:
            self.drop(str(error))
            raise LinkError(str(error)) from error

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        client = self._current()
        sent = {s: v for s, v in values.items() if s not in self._refused}
        if sent:
            nodes = [self._nodes[s] for s in sent]
            dressed = [data_value(s, v) for s, v in sent.items()]
            statuses = await self._guard(client.uaclient.write_attributes(nodes, dressed))
            for signal, status in zip(sent, statuses, strict=True):
                if not status.is_good():
                    self._not_written(signal, status)
        return frozenset(self._refused & values.keys())

    def _not_written(self, signal: Signal, status: ua.StatusCode) -> None:
        if status.name not in _FOR_GOOD:
            self.drop(f"{signal.wire_name} was refused: {status.name}")
            raise LinkError(f"{self._url}: write of {signal.wire_name} refused: {status.name}")
        self._refused.add(signal)
        told = {"signal": signal.wire_name, "why": status.name}
        log.error("plc.signal_refused", url=self._url, **told)

    def _current(self) -> Client:
        if self._client is None or self._lost.is_set():
            raise LinkError(f"{self._url}: not connected ({self._state.value})")
        return self._client

    async def _guard(self, call: Awaitable[T]) -> T:
        """Await a call within the deadline; a failure costs the connection: ``LinkError``."""
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except (Exception, asyncio.CancelledError) as error:
            if asked_to_end():
                raise
            text = _words(error)
            self.drop(text)
            raise LinkError(f"{self._url}: {text}") from error

    async def _one_connection(self, on_event: Callable[[LinkEvent], None]) -> bool:
        """Connect, and stay until the connection is lost; returns whether it stood."""
        self._enter(LinkState.CONNECTING)
        self._lost, self._reason = asyncio.Event(), ""
        self._refused.clear()
        client = make_client(self._settings, "Andon gateway")
        client.connection_lost_callback = self._on_lost
        client.session_timeout = _SESSION_MS
        stood = False
        try:
            events = await self._establish(client)
            stood = True
            self._enter(LinkState.CONNECTED)
            self._tell_connected()
            events.forward(on_event)
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(events))
                await self._lost.wait()
                watching.cancel()
        except (Exception, asyncio.CancelledError) as error:
            if asked_to_end():
                raise
            self._reason = self._reason or _words(error)
        finally:
            self._client = None
            if stood:
                on_event(Notice.DISCONNECTED)
            await self._close(client)
        self._tell_away(stood)
        return stood

    async def _watch(self, events: "_Notifications") -> None:
        """Drop the link when its subscription tells nothing any more.

        A server may forget a subscription and keep the connection. The controller's heartbeat is
        silent then, but moves when it is read; where it does not move either, its program stands
        still, and the link is sound.
        """
        silent_s = self._settings.dead_after_s
        with contextlib.suppress(LinkError):
            while True:
                since = time.monotonic() - events.beat_at
                if since < silent_s:
                    await asyncio.sleep(silent_s - since)
                    continue
                read = await self.read([Signal.PLC_HEARTBEAT])
                beat_at = events.beat_at
                await asyncio.sleep(_ON_ITS_WAY_S)
                if events.beat_at != beat_at:
                    continue
                if read.get(Signal.PLC_HEARTBEAT, events.beat) != events.beat:
                    self.drop("the subscription is silent, though PlcHeartbeat moves")
                    return
                events.beat_at = time.monotonic()

    async def _on_lost(self, error: Exception) -> None:
        self.drop(f"transport lost: {error}")

    async def _establish(self, client: Client) -> "_Notifications":
        async with asyncio.timeout(4 * self._timeout):
            await connect(client, self._settings)
            try:
                index = await client.get_namespace_index(self._settings.namespace)
            except ValueError as error:
                raise NodeSetError(
                    f"{self._url}: no namespace {self._settings.namespace!r}; set gateway.namespace"
                ) from error
            self._nodes = node_ids(self._settings.node_prefix, index)
            events = _Notifications(self.drop)
            watched = [self._nodes[s] for s in WATCHED]
            await _subscribe(client, watched, self._settings.publishing_interval_ms, events)
            found = await client.uaclient.read_attributes(list(self._nodes.values()), _VALUE)
        self._client = client
        events.start({s: value_at_start(s, v) for s, v in zip(self._nodes, found, strict=True)})
        return events

    async def _close(self, client: Client) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await client.disconnect()
        except (Exception, asyncio.CancelledError) as error:
            if asked_to_end():
                raise
            log.debug("plc.close_failed", url=self._url, why=repr(error))
        with contextlib.suppress(Exception):
            client.disconnect_socket()

    def _tell_away(self, stood: bool) -> None:
        """One line when it goes away, however often it is tried to connect again."""
        if stood:
            log.warning("plc.link_lost", url=self._url, why=self._reason)
        elif (told := self._outage.failed(self._reason)) is not None:
            seconds, attempts = told.seconds, told.failures
            more = {"seconds": seconds, "attempts": attempts}
            log.warning("plc.unreachable", url=self._url, why=self._reason, **more)

    def _tell_connected(self) -> None:
        told = self._outage.ended()
        more = {} if told is None else {"away_s": told.seconds, "attempts": told.failures + 1}
        log.info("plc.connected", url=self._url, **more)

    def _enter(self, state: LinkState) -> None:
        if state is not self._state:
            log.debug("plc.link", url=self._url, state=state.value)
            self._state = state


def _words(error: BaseException) -> str:
    """An error of ours says all; another one's text may be empty."""
    named = "" if isinstance(error, AndonError) else type(error).__name__
    return f"{named} {error}".strip()


class _Notifications:
    """Turns each publish response into one ``Changed``, held back until ``Connected`` went out."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        self._held: list[LinkEvent] = []
        self._forward: Callable[[LinkEvent], None] | None = None
        self._tell_lost = lost
        self.beat: SignalValue = 0
        """The controller's heartbeat as it was told last, and when."""
        self.beat_at = time.monotonic()

    def start(self, values: SignalValues) -> None:
        self._held.insert(0, Connected(values))
        self.beat, self.beat_at = values[Signal.PLC_HEARTBEAT], time.monotonic()

    def forward(self, on_event: Callable[[LinkEvent], None]) -> None:
        for event in self._held:
            on_event(event)
        self._held, self._forward = [], on_event

    async def __call__(self, result: ua.PublishResult) -> None:
        moved: dict[Signal, SignalValue] = {}
        for notification in result.NotificationMessage.NotificationData or ():
            if isinstance(notification, ua.StatusChangeNotification):
                self._tell_lost(f"the subscription ended: {notification.Status}")
            for item in getattr(notification, "MonitoredItems", ()):
                value = item.Value.Value.Value if item.Value and item.Value.Value else None
                if value is not None:
                    moved[WATCHED[item.ClientHandle]] = value
        if not moved:
            return
        if Signal.PLC_HEARTBEAT in moved:
            self.beat, self.beat_at = moved[Signal.PLC_HEARTBEAT], time.monotonic()
        event = Changed(moved)
        if self._forward is None:
            self._held.append(event)
        else:
            self._forward(event)


async def _subscribe(
    client: Client, nodes: list[ua.NodeId], interval_ms: float, events: _Notifications
) -> None:
    """One subscription on the watched signals; the newest value of each is enough (counters)."""
    params = ua.CreateSubscriptionParameters()
    params.RequestedPublishingInterval = interval_ms
    params.RequestedLifetimeCount = 10_000
    params.RequestedMaxKeepAliveCount = max(int(1000 / interval_ms), 1)
    params.PublishingEnabled = True
    created = await client.uaclient.create_subscription(params, events)
    request = ua.CreateMonitoredItemsParameters()
    request.SubscriptionId = created.SubscriptionId
    request.TimestampsToReturn = ua.TimestampsToReturn.Neither
    request.ItemsToCreate = [
        _monitored(node, handle, interval_ms) for handle, node in enumerate(nodes)
    ]
    results = await client.uaclient.create_monitored_items(request)
    for signal, result in zip(WATCHED, results, strict=True):
        if not result.StatusCode.is_good():
            raise NodeSetError(f"cannot watch {signal.wire_name}: {result.StatusCode.name}")


def _monitored(node: ua.NodeId, handle: int, interval_ms: float) -> ua.MonitoredItemCreateRequest:
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=_VALUE)
    item.MonitoringMode = ua.MonitoringMode.Reporting
    item.RequestedParameters = ua.MonitoringParameters(
        ClientHandle=handle, SamplingInterval=interval_ms, QueueSize=1, DiscardOldest=True
    )
    return item
