"""The line controller over OPC UA: one supervisor, a new asyncua client per connection loss.

asyncua's own ``auto_reconnect`` is not used: after a second cut its subscriptions stayed silent
while the state said connected (ADR 0010).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from enum import Enum
from typing import TypeVar

import structlog
from asyncua import Client, ua

from connectors.errors import LinkError
from connectors.handshake.signals import Signal, SignalValue, SignalValues, number
from connectors.handshake.values import Notice, TriggerAge
from connectors.line_link import LinkEvent
from connectors.opcua.node_set import (
    AbsenceNotes,
    NodeSet,
    absence,
    open_node_set,
    read_in_parts,
    status_name,
)
from connectors.opcua.refusals import FOR_GOOD, Refusals
from connectors.opcua.secured import (
    CALLS_TO_CONNECT,
    Ends,
    connect,
    make_client,
    warn_unless_secured,
    words_of,
)
from connectors.opcua.subscription import Intervals, Notifications, seconds_of, subscribe
from connectors.opcua.subscription_watch import SubscriptionWatch
from connectors.opcua.trigger_time import TriggerTime
from connectors.settings import GatewaySettings
from streams.backoff import backoff_s
from streams.cancellation import asked_to_end
from streams.log import Outage

log = structlog.get_logger(__name__)
T = TypeVar("T")
_VALUE = ua.AttributeIds.Value
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
        on_certificates: told when the certificates end that a connection begins with.
    """

    def __init__(
        self, settings: GatewaySettings, on_certificates: Callable[[Ends], None] = lambda _: None
    ) -> None:
        self._settings, self._on_certificates = settings, on_certificates
        self._url = settings.plc_url
        self._timeout = settings.plc_timeout_s
        self._state = LinkState.DISCONNECTED
        self._client: Client | None = None
        self._nodes = NodeSet({}, {}, {})
        self._absences = AbsenceNotes(settings.plc_url)
        self._lost = asyncio.Event()
        self._reason = ""
        self._outage = Outage()
        self._refusals = Refusals(settings.plc_url)
        self._unfit: set[Signal] = set()
        """Signals whose node could not hold the last value."""
        self._unusable: set[Signal] = set()
        """Signals whose value could not be used when it was read last: said once."""
        self._missing: frozenset[Signal] = frozenset()
        """Signals that should be there and are of no use."""
        self._intervals: Intervals | None = None
        self._times = TriggerTime()
        self._trigger_read: tuple[int, float | None, float] | None = None
        """TriggerSeq, its source time stamp, and when they were read."""

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
                _end_if_asked()
                attempt = 0 if connected else attempt + 1
                self._enter(LinkState.BACKING_OFF)
                longest_s = self._settings.reconnect_max_s
                await asyncio.sleep(backoff_s(attempt, 0.1, longest_s, jitter=0.5))
        finally:
            self._enter(LinkState.DISCONNECTED)

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        client, nodes = self._current(), self._nodes
        wanted = list(signals)
        found = {s: nodes.constants[s] for s in wanted if s in nodes.constants}
        asked = [s for s in wanted if s in nodes.ids]
        values = await self._guard(read_in_parts(client, [nodes.ids[s] for s in asked], _VALUE))
        for signal, value in zip(asked, values, strict=True):
            if (gone := absence(value)) is not None:
                reason = f"{signal.wire_name} is gone ({gone}): the controller was changed"
                self.drop(reason)
                raise LinkError(reason)
            try:
                found[signal] = nodes.value(signal, value)
                if signal is Signal.TRIGGER_SEQ:
                    stamp = seconds_of(value.SourceTimestamp)
                    self._trigger_read = number(found, signal), stamp, time.monotonic()
                self._unusable.discard(signal)
            except ValueError as error:
                told = {"signal": signal.wire_name, "node": str(nodes.addresses[signal])}
                if signal not in self._unusable:
                    log.warning("plc.value_unusable", url=self._url, **told, found=str(error))
                self._unusable.add(signal)
        return found

    def trigger_age(self) -> TriggerAge:
        if self._trigger_read is None:
            return TriggerAge()
        return self._times.age(*self._trigger_read)

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        client = self._current()
        sent: dict[Signal, ua.DataValue] = {}
        unfit: set[Signal] = set()
        wanted = self._refusals.sent(values)
        for signal, value in wanted.items():
            if signal not in self._nodes.ids:
                continue
            try:
                sent[signal] = self._nodes.written(signal, value)
            except ValueError as error:
                unfit.add(signal)
                if signal not in self._unfit:
                    self._refusals.tell(signal, str(error), self._nodes.addresses[signal])
        self._unfit = (self._unfit - values.keys()) | unfit
        if sent:
            found = await self._guard(self._write(client, sent))
            statuses = dict(zip(sent, found, strict=True))
            lost = self._refusals.judge(wanted, statuses, self._nodes.addresses)
            if lost is not None:
                why = f"{lost.wire_name} was refused: {status_name(statuses[lost])}"
                self.drop(why)
                raise LinkError(f"{self._url}: {why}")
        return (self._refusals.signals | self._missing | unfit) & values.keys()

    async def _write(self, client: Client, sent: dict[Signal, ua.DataValue]) -> list[ua.StatusCode]:
        """One Write, or one for each node where the controller refuses the Write as a whole."""
        nodes = [self._nodes.ids[s] for s in sent]
        values = list(sent.values())
        try:
            statuses: list[ua.StatusCode] = await client.uaclient.write_attributes(nodes, values)
            return statuses
        except ua.UaStatusCodeError as error:
            name = status_name(ua.StatusCode(error.code))
            if name not in FOR_GOOD | {"BadTooManyOperations"} or len(sent) == 1:
                raise
        single = []
        for node, value in zip(nodes, values, strict=True):
            try:
                single += await client.uaclient.write_attributes([node], [value])
            except ua.UaStatusCodeError as error:
                single.append(ua.StatusCode(error.code))
        return single

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
            text = words_of(error)
            self.drop(text)
            raise LinkError(f"{self._url}: {text}") from error

    async def _one_connection(self, on_event: Callable[[LinkEvent], None]) -> bool:
        """Connect, and stay until the connection is lost; returns whether it stood."""
        self._enter(LinkState.CONNECTING)
        self._lost, self._reason = asyncio.Event(), ""
        self._refusals.begin()
        self._unusable.clear()
        self._unfit.clear()
        client = make_client(self._settings, "Andon gateway")
        client.connection_lost_callback = self._on_lost
        client.session_timeout = _SESSION_MS
        stood = False
        try:
            events = await self._establish(client)
            _end_if_asked()
            stood = True
            self._enter(LinkState.CONNECTED)
            self._tell_connected()
            events.forward(on_event)
            async with asyncio.TaskGroup() as group:
                watches = [group.create_task(one) for one in self._watches(events)]
                await self._lost.wait()
                for one in watches:
                    one.cancel()
        except (Exception, asyncio.CancelledError) as error:
            if asked_to_end():
                raise
            self._reason = self._reason or words_of(error)
        finally:
            self._client = None
            if stood:
                on_event(Notice.DISCONNECTED)
            await self._close(client)
        self._tell_away(stood)
        return stood

    def _watches(self, events: Notifications) -> list[Coroutine[None, None, None]]:
        watch = SubscriptionWatch(self._settings, events, self._nodes.ids, self.read, self.drop)

        async def until_gone(work: Callable[[], Awaitable[None]]) -> None:
            with contextlib.suppress(LinkError):
                await work()

        return [until_gone(watch.beats), until_gone(watch.items)]

    async def _on_lost(self, error: Exception) -> None:
        self.drop(f"transport lost: {words_of(error)}")

    async def _establish(self, client: Client) -> Notifications:
        async with asyncio.timeout(CALLS_TO_CONNECT * self._timeout):
            self._on_certificates(await connect(client, self._settings))
            nodes = await open_node_set(client, self._settings)
            events = Notifications(nodes, self.drop)
            asked_ms = self._settings.publishing_interval_ms
            intervals = await subscribe(client, nodes, asked_ms, events)
            nodes.demand_needed()
            await nodes.read_again(client)
        self._absences.tell(nodes.wrong)
        self._missing = frozenset(one.signal for one in nodes.wrong)
        self._nodes, self._client, self._intervals = nodes, client, intervals
        self._times, self._trigger_read = events.trigger_time, None
        events.start(nodes.connected)
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
        if self._intervals is not None:
            more |= {"publishing_ms": self._intervals.publishing_ms}
            more |= {"sampling_ms": self._intervals.sampling_ms}
        log.info("plc.connected", url=self._url, **more)

    def _enter(self, state: LinkState) -> None:
        if state is not self._state:
            log.debug("plc.link", url=self._url, state=state.value)
            self._state = state


def _end_if_asked() -> None:
    """The client may have kept a cancellation to itself while it connected or closed.

    Raises:
        CancelledError: this task was asked to end.
    """
    if asked_to_end():
        raise asyncio.CancelledError
