"""The line controller over OPC UA: one supervisor, a new asyncua client per connection loss.

asyncua's own ``auto_reconnect`` is not used: after a second cut its subscriptions stayed silent
while the state said connected (ADR 0010).
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from asyncua import Client, ua

from connectors.errors import LinkError, NodeSetError
from connectors.handshake.signals import SIGNALS, WATCHED, Signal, node_id
from connectors.line import Changed, LinkDown, LinkEvent, LinkState, LinkUp
from streams.cancellation import asked_to_end

log = structlog.get_logger(__name__)
_VALUE = ua.AttributeIds.Value
_SESSION_MS = 10_000
"""The server may forget a broken connection's session, and its subscription, after this."""


class OpcUaLink:
    """``LineLink`` over OPC UA, without security (the secured profile comes with its issue).

    Args:
        url: ``opc.tcp://host:port``.
        namespace: URI of the node set's namespace.
        prefix: node ids are ``s=<prefix>.<Signal>``.
        timeout_s: deadline of each service call, seconds.
        publishing_interval_ms: subscription and sampling interval, milliseconds.
        reconnect_max_s: cap of the back-off, seconds.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        prefix: str,
        *,
        timeout_s: float = 1.0,
        publishing_interval_ms: float = 10.0,
        reconnect_max_s: float = 5.0,
    ) -> None:
        self._url = url
        self._namespace = namespace
        self._prefix = prefix
        self._timeout = timeout_s
        self._interval = publishing_interval_ms
        self._reconnect_max = reconnect_max_s
        self._state = LinkState.DISCONNECTED
        self._client: Client | None = None
        self._nodes: dict[Signal, ua.NodeId] = {}
        self._lost = asyncio.Event()
        self._reason = ""
        self.connections = 0
        """How many connections were made; a metric."""

    @property
    def state(self) -> LinkState:
        return self._state

    def drop(self, reason: str) -> None:
        if not self._lost.is_set():
            self._reason = reason
            self._lost.set()

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        attempt = 0
        try:
            while True:
                connected = await self._one_connection(on_event)
                attempt = 0 if connected else attempt + 1
                self._enter(LinkState.BACKING_OFF)
                await asyncio.sleep(backoff_s(attempt, self._reconnect_max))
        finally:
            self._enter(LinkState.DISCONNECTED)

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, Any]:
        wanted = list(signals)
        client = self._current()
        values = await self._guard(
            client.uaclient.read_attributes([self._nodes[s] for s in wanted], _VALUE)
        )
        return {s: _checked(s, v) for s, v in zip(wanted, values, strict=True)}

    async def write(self, values: Mapping[Signal, Any]) -> None:
        client = self._current()
        statuses = await self._guard(
            client.uaclient.write_attributes(
                [self._nodes[s] for s in values], [_data_value(s, v) for s, v in values.items()]
            )
        )
        for signal, status in zip(values, statuses, strict=True):
            if not status.is_good():
                self.drop(f"{signal.value} was refused")
                raise LinkError(f"{self._url}: write of {signal.value} refused: {status.name}")

    def _current(self) -> Client:
        if self._client is None or self._lost.is_set():
            raise LinkError(f"{self._url}: not connected ({self._state.value})")
        return self._client

    async def _guard(self, call: Any) -> Any:
        """With a deadline; whatever goes wrong costs the connection and is a ``LinkError``."""
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except (Exception, asyncio.CancelledError) as error:
            if asked_to_end():
                raise
            text = f"{type(error).__name__} {error}".strip()
            self.drop(text)
            raise LinkError(f"{self._url}: {text}") from error

    async def _one_connection(self, on_event: Callable[[LinkEvent], None]) -> bool:
        """Returns whether the connection stood."""
        self._enter(LinkState.CONNECTING)
        self._lost, self._reason = asyncio.Event(), ""
        # asyncua's own deadline must not fall together with ours: two at once can end a task.
        client = Client(self._url, timeout=2 * self._timeout, watchdog_intervall=self._timeout)
        client.connection_lost_callback = self._on_lost
        client.name, client.application_uri = "Andon gateway", "urn:andon:gateway"
        client.session_timeout = _SESSION_MS
        stood = False
        try:
            events = await self._establish(client)
            stood = True
            self.connections += 1
            self._enter(LinkState.CONNECTED)
            events.forward(on_event)
            await self._lost.wait()
        except (Exception, asyncio.CancelledError) as error:
            if asked_to_end():
                raise
            self._reason = self._reason or f"{type(error).__name__} {error}".strip()
        finally:
            self._client = None
            if stood:
                on_event(LinkDown(self._reason or "closed"))
            await self._close(client)
        log.warning(
            "plc.link_lost" if stood else "plc.unreachable", url=self._url, why=self._reason
        )
        return stood

    async def _on_lost(self, error: Exception) -> None:
        self.drop(f"transport lost: {error}")

    async def _establish(self, client: Client) -> "_Notifications":
        async with asyncio.timeout(4 * self._timeout):
            await client.connect()
            try:
                index = await client.get_namespace_index(self._namespace)
            except ValueError as error:
                raise NodeSetError(
                    f"{self._url}: no namespace {self._namespace!r}; set gateway.namespace"
                ) from error
            self._nodes = {s: ua.NodeId(node_id(self._prefix, s), index) for s in SIGNALS}
            events = await _subscribe(client, [self._nodes[s] for s in WATCHED], self._interval)
            found = await client.uaclient.read_attributes(list(self._nodes.values()), _VALUE)
        self._client = client
        events.start({s: _checked(s, v) for s, v in zip(self._nodes, found, strict=True)})
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

    def _enter(self, state: LinkState) -> None:
        if state is not self._state:
            log.info("plc.link", url=self._url, state=state.value)
            self._state = state


class _Notifications:
    """Publish responses to ``Changed`` events, each response as one; nothing before ``LinkUp``."""

    def __init__(self) -> None:
        self._held: list[LinkEvent] = []
        self._forward: Callable[[LinkEvent], None] | None = None

    def start(self, values: Mapping[Signal, Any]) -> None:
        self._held.insert(0, LinkUp(values))

    def forward(self, on_event: Callable[[LinkEvent], None]) -> None:
        for event in self._held:
            on_event(event)
        self._held, self._forward = [], on_event

    async def __call__(self, result: ua.PublishResult) -> None:
        moved: dict[Signal, Any] = {}
        for notification in result.NotificationMessage.NotificationData or ():
            for item in getattr(notification, "MonitoredItems", ()):
                if item.Value is not None and item.Value.Value is not None:
                    moved[WATCHED[item.ClientHandle]] = item.Value.Value.Value
        if not moved:
            return
        event = Changed(moved)
        if self._forward is None:
            self._held.append(event)
        else:
            self._forward(event)


async def _subscribe(client: Client, nodes: list[ua.NodeId], interval_ms: float) -> _Notifications:
    """One subscription on the watched signals; the newest value of each is enough (counters)."""
    events = _Notifications()
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
            raise NodeSetError(f"cannot watch {signal.value}: {result.StatusCode.name}")
    return events


def _monitored(node: ua.NodeId, handle: int, interval_ms: float) -> Any:
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=_VALUE)
    item.MonitoringMode = ua.MonitoringMode.Reporting
    item.RequestedParameters = ua.MonitoringParameters(
        ClientHandle=handle, SamplingInterval=interval_ms, QueueSize=1, DiscardOldest=True
    )
    return item


def _data_value(signal: Signal, value: Any) -> Any:
    return ua.DataValue(ua.Variant(value, ua.VariantType[SIGNALS[signal].ua_type]))


def _checked(signal: Signal, value: Any) -> Any:
    """The Python value of a read. Raises ``NodeSetError`` naming the signal."""
    spec = SIGNALS[signal]
    if value.StatusCode is not None and not value.StatusCode.is_good():
        raise NodeSetError(f"{signal.value}: {value.StatusCode.name}; the node set is incomplete")
    variant = value.Value
    if variant is None or variant.Value is None:
        return spec.default
    if variant.VariantType.name != spec.ua_type:
        raise NodeSetError(f"{signal.value} is {variant.VariantType.name}, not {spec.ua_type}")
    return variant.Value


def backoff_s(attempt: int, cap_s: float, first_s: float = 0.1) -> float:
    """Exponential back-off with full jitter above half, seconds."""
    full = min(cap_s, first_s * 2.0 ** min(attempt, 30))
    return full * random.uniform(0.5, 1.0)
