"""The controller's side of the network: an OPC UA server with one node per signal."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua
from asyncua.common.callback import CallbackType

from connectors.errors import ConnectorError
from connectors.handshake.signals import Owner, Signal, SignalValue, SignalValues
from connectors.opcua.coercion import from_wire, last_count, to_wire
from connectors.opcua.server_security import ServerSecurity

NAMESPACE = "urn:andon:line"
PREFIX = "Andon"
"""Of every node's identifier."""


@dataclass(frozen=True)
class NodeLayout:
    """How a make of controllers names the nodes of the signals, and of which types they are."""

    namespaces: tuple[str, ...] = (NAMESPACE,)
    """URIs that the server registers, in this order; the signals are in the last one."""
    identifier: Callable[[Signal], object] = lambda signal: f"{PREFIX}.{signal.wire_name}"
    """The identifier of a signal's node: a text, a number, a GUID or bytes."""
    kinds: Mapping[Signal, ua.VariantType] = field(default_factory=dict)
    """Types that differ from the signal's own."""
    absent: frozenset[Signal] = frozenset()
    """Signals that the controller lacks."""
    stamps: bool = True
    """Whether values have source time stamps."""

    def kind(self, signal: Signal) -> ua.VariantType:
        return self.kinds.get(signal, ua.VariantType[signal.data_type])


def cold_start() -> dict[Signal, SignalValue]:
    """What a controller shows that has just been switched on."""
    return {signal: signal.default for signal in Signal}


@dataclass
class SignalServer:
    """Serves ``values``, which hold what either side wrote last.

    ``on_change`` is called once per Write service call of the gateway, with what differs now.
    """

    url: str
    on_change: Callable[[SignalValues], None]
    values: dict[Signal, SignalValue] = field(default_factory=cold_start)
    security: ServerSecurity | None = None
    """Without it anyone may read and write."""
    layout: NodeLayout = field(default_factory=NodeLayout)
    _server: Server | None = None
    _ids: dict[Signal, ua.NodeId] = field(default_factory=dict)

    def last(self, counter: Signal) -> int:
        """After this a counter wraps to 1: its node can hold no more."""
        return last_count(self.layout.kind(counter))

    async def open(self) -> None:
        """Make the nodes; nobody can connect yet."""
        server = Server()
        await server.init()
        server.set_endpoint(self.url)
        server.set_server_name("Andon simulated line controller")
        if self.security is None:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        else:
            await self.security.apply(server)
        for uri in self.layout.namespaces:
            index = await server.register_namespace(uri)
        folder = await server.nodes.objects.add_object(ua.NodeId(PREFIX, index), PREFIX)
        for signal in Signal:
            if signal in self.layout.absent:
                continue
            self._ids[signal] = ua.NodeId(self.layout.identifier(signal), index)
            first = to_wire(signal, signal.default, self.layout.kind(signal))
            node = await folder.add_variable(self._ids[signal], signal.wire_name, first)
            if signal.owner is Owner.GATEWAY:
                await node.set_writable()
        server.subscribe_server_callback(CallbackType.PostWrite, self._written)
        self._server = server

    async def listen(self) -> None:
        """Let gateways connect.

        Raises:
            ConnectorError: the port is taken, as by another controller that still plays.
        """
        server = self._running()
        try:
            await (server.start() if server.bserver is None else server.bserver.start())
        except OSError as error:
            raise ConnectorError(
                f"{self.url} cannot be listened on: {error.strerror}; end who does, or give "
                "another --url"
            ) from None

    async def hang_up(self) -> None:
        """Drop every connection; nobody can connect until ``listen``."""
        await self._running().bserver.stop()
        await self._end_sessions()

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop()
            await self._end_sessions()
            self._server = None

    async def put(self, values: SignalValues) -> None:
        """Write values as the controller."""
        server = self._running()
        for signal, value in values.items():
            self.values[signal] = value
            if signal not in self._ids:
                continue
            variant = to_wire(signal, value, self.layout.kind(signal))
            stamp = datetime.now(UTC) if self.layout.stamps else None
            dated = ua.DataValue(variant, SourceTimestamp=stamp)
            await server.write_attribute_value(self._ids[signal], dated)

    def _running(self) -> Server:
        assert self._server is not None, "the controller is not started"
        return self._server

    async def _end_sessions(self) -> None:
        """asyncua keeps a session with subscriptions beyond its connection, even beyond stop."""
        for session in list(self._running().iserver._external_sessions.values()):
            await session.close_session(True)
        await asyncio.sleep(0)

    def _written(self, event: Any, _dispatcher: Any = None) -> None:
        """Called once per Write service call, after it took effect."""
        if not event.is_external:
            return
        by_id = {nid.Identifier: s for s, nid in self._ids.items() if s.owner is Owner.GATEWAY}
        pairs = zip(event.request_params.NodesToWrite, event.response_params, strict=True)
        items = [item for item, status in pairs if status.is_good()]
        told = {by_id.get(i.NodeId.Identifier): i.Value.Value for i in items}
        values = {s: from_wire(s, v) for s, v in told.items() if s is not None}
        changed = {s: v for s, v in values.items() if self.values[s] != v}
        self.values.update(changed)
        self.on_change(changed)
