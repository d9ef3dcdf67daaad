"""The signals at one controller, as found when a connection begins: nodes, types, what is absent.

Namespaces are resolved by their URI each time, because a download may give them other indexes.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog
from asyncua import Client, ua
from asyncua.ua.uaerrors import BadTooManyOperations

from connectors.errors import NodeSetError
from connectors.handshake.sequence import LAST
from connectors.handshake.signals import (
    ALL_AS_READ,
    LOSSES,
    NEEDED,
    NEVER_GUESSED,
    Owner,
    Signal,
    SignalValue,
)
from connectors.handshake.values import Connected
from connectors.opcua.coercion import can_hold, from_wire, last_count, taken_types, to_wire
from connectors.settings import GatewaySettings
from connectors.signal_map import NodeAddress

log = structlog.get_logger(__name__)
T = TypeVar("T")
R = TypeVar("R")
ABSENT: Final = frozenset({"BadNodeIdUnknown", "BadNodeIdInvalid", "BadAttributeIdInvalid"})
_AID: Final = ua.AttributeIds


@dataclass(frozen=True)
class UnusableSignal:
    """What is wrong with one signal, and what to do about it."""

    signal: Signal
    node: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.signal.wire_name} ({self.node}) {self.found}; {self.remedy}"


@dataclass
class NodeSet:
    """Where the signals are, and of which type each node is.

    Signals without a node of use have a value all the same: a constant, or their default.
    """

    addresses: dict[Signal, NodeAddress]
    ids: dict[Signal, ua.NodeId]
    constants: dict[Signal, SignalValue]
    kinds: dict[Signal, ua.VariantType] = field(default_factory=dict)
    values: dict[Signal, SignalValue] = field(default_factory=dict)
    """What was shown when the connection began."""
    unread: set[Signal] = field(default_factory=set)
    """Signals that had no good quality when the connection began."""
    wrong: list[UnusableSignal] = field(default_factory=list)

    def leave_out(self, signal: Signal, found: str, remedy: str) -> None:
        """Take note that a signal cannot be used on this connection."""
        node = str(self.addresses[signal])
        self.wrong.append(UnusableSignal(signal, node, found, remedy))
        self.ids.pop(signal, None)
        self.constants[signal] = self.values[signal] = signal.default

    async def read_again(self, client: Client) -> None:
        """Take the values of now: what moved before the subscription stood is told by nobody."""
        signals = [signal for signal in ALL_AS_READ if signal in self.ids]
        reads = await read_in_parts(client, [self.ids[s] for s in signals], _AID.Value)
        for signal, read in zip(signals, reads, strict=True):
            try:
                self.values[signal] = self.value(signal, read)
            except ValueError:
                self.unread.add(signal)

    @property
    def connected(self) -> Connected:
        """What the connection begins with."""
        told = set(Signal) - (NEVER_GUESSED & self.unread)
        result_last = self._last(Signal.RESULT_SEQ, Signal.RESULT_ACK_SEQ)
        values = {signal: self.values[signal] for signal in told}
        return Connected(values, result_last, self._last(Signal.TRIGGER_SEQ))

    def _last(self, *counters: Signal) -> int:
        """The last number that the nodes of all these can hold."""
        kinds = (self.kinds.get(signal) for signal in counters)
        return min([LAST, *(last_count(kind) for kind in kinds if kind is not None)])

    def demand_needed(self) -> None:
        """Raise ``NodeSetError`` that names all, where a signal is wrong that no line can lack."""
        if not any(one.signal in NEEDED for one in self.wrong):
            return
        first = [one for one in self.wrong if one.signal in NEEDED]
        shown = "; ".join(str(one) for one in first[:3])
        more = len(self.wrong) - len(first[:3])
        raise NodeSetError(f"{shown}{f'; and {more} more' if more else ''} (andon plc check)")

    def value(self, signal: Signal, read: ua.DataValue) -> SignalValue:
        """The value of a data value. Raises ``ValueError``: its quality, type or range is wrong."""
        status = status_name(read.StatusCode)
        if status != "Good" and not _is_of_use(signal, status):
            raise ValueError(f"has the quality {status}")
        return from_wire(signal, read.Value)

    def written(self, signal: Signal, value: SignalValue) -> ua.DataValue:
        """What is sent for a value, in the node's own type.

        It carries neither a status nor a time: many controllers refuse a Write that does.

        Raises:
            ValueError: the node cannot hold the value.
        """
        kind = self.kinds.get(signal, ua.VariantType[signal.data_type])
        return ua.DataValue(to_wire(signal, value, kind), StatusCode=None)


def namespace_indexes(
    settings: GatewaySettings, namespaces: Sequence[str]
) -> tuple[dict[Signal, NodeAddress], dict[Signal, ua.NodeId]]:
    """The nodes of the signals at a server with these namespaces.

    Raises:
        NodeSetError: a namespace is not there; the message names those that are.
    """
    addresses = settings.signal_map().nodes
    ids = {}
    for signal, address in addresses.items():
        index = address.index
        if address.uri:
            if address.uri not in namespaces:
                raise NodeSetError(
                    f"{settings.plc_url}: {signal.wire_name}: no namespace {address.uri!r} there, "
                    f"but {', '.join(namespaces)}; set gateway.namespace"
                )
            index = namespaces.index(address.uri)
        ids[signal] = ua.NodeId(address.identifier, index)
    return addresses, ids


async def open_node_set(client: Client, settings: GatewaySettings) -> NodeSet:
    """Find every signal at the server, and read it.

    What is wrong with one is in ``wrong`` and costs that signal.

    Raises:
        NodeSetError: a namespace is not there.
    """
    found = await client.get_namespace_array()
    addresses, ids = namespace_indexes(settings, found)
    made = NodeSet(addresses, ids, dict(settings.signal_map().constants))
    made.values.update(made.constants)
    reads = await read_in_parts(client, list(ids.values()), _AID.Value)
    types = await _declared_types(client, ids, reads)
    for (signal, _), read in zip(list(ids.items()), reads, strict=True):
        _take(made, signal, read, types.get(signal))
    return made


def _take(made: NodeSet, signal: Signal, read: ua.DataValue, kind: ua.VariantType | None) -> None:
    name = status_name(read.StatusCode)
    if absence(read) is not None:
        return made.leave_out(signal, f"is not there ({name})", _remedy(signal, "make the node"))
    if name == "BadUserAccessDenied" or name == "BadNotReadable":
        return made.leave_out(signal, f"may not be read ({name})", "give the user the right")
    if kind is not None:
        made.kinds[signal] = kind
        is_array = read.Value is not None and read.Value.is_array
        if not can_hold(signal, kind) or is_array:
            shown = kind.name + (" array" if is_array else "")
            types = f"make it one of {taken_types(signal)}"
            return made.leave_out(signal, f"is {shown}", _remedy(signal, types))
    try:
        made.values[signal] = made.value(signal, read)
    except ValueError as error:  # the next value may be of use
        if signal in NEEDED:
            return made.leave_out(signal, str(error), "the controller must give it a good value")
        made.values[signal] = signal.default
    return None


def status_name(status: ua.StatusCode | None) -> str:
    """The status without what its lower bits say of a value: a limit, an overflow, a new structure.

    >>> status_name(ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown | 0x480)), status_name(None)
    ('BadNodeIdUnknown', 'Good')
    """
    if status is None or status.is_good():
        return "Good"
    return str(ua.StatusCode(status.value & 0xFFFF0000).name)


def absence(read: ua.DataValue) -> str | None:
    """The status by which a server says that there is no such node; None: there is one."""
    name = status_name(read.StatusCode)
    return name if name in ABSENT else None


def _is_of_use(signal: Signal, status: str) -> bool:
    """Whether what the gateway itself wrote may be taken back with this quality.

    A server that stands between shows its last value as uncertain, and as waiting what nobody has
    written yet; a gateway that waited for good ones would wait for its own writes.
    """
    shown = status.startswith("Uncertain") or status == "BadWaitingForInitialData"
    return signal.owner is Owner.GATEWAY and shown


def _remedy(signal: Signal, do: str) -> str:
    if signal in NEEDED:
        return f"{do}, or set gateway.signals.{signal.wire_name}"
    return f"{do}, or set gateway.signals.{signal.wire_name}=none: {LOSSES[signal]}"


async def _declared_types(
    client: Client, ids: dict[Signal, ua.NodeId], reads: Sequence[ua.DataValue]
) -> dict[Signal, ua.VariantType]:
    """The type of each node: that of its value, or the declared one where the value is null."""
    types = {}
    empty = []
    for (signal, node), read in zip(ids.items(), reads, strict=True):
        if read.Value is not None and read.Value.VariantType is not ua.VariantType.Null:
            types[signal] = read.Value.VariantType
        elif absence(read) is None:
            empty.append((signal, node))
    if empty:
        nodes = [node for _, node in empty]
        declared = await read_in_parts(client, nodes, _AID.DataType)
        for (signal, _), one in zip(empty, declared, strict=True):
            kind = built_in(one)
            if kind is not None:
                types[signal] = kind
    return types


def built_in(declared: ua.DataValue) -> ua.VariantType | None:
    """The built-in type that a DataType attribute names; None where it is another one."""
    node = declared.Value.Value if declared.Value else None
    if not isinstance(node, ua.NodeId) or node.NamespaceIndex != 0:
        return None
    if node.Identifier == ua.ObjectIds.UtcTime:
        return ua.VariantType.DateTime
    try:
        return ua.VariantType(node.Identifier)
    except ValueError:
        return None


async def read_in_parts(
    client: Client, nodes: Sequence[ua.NodeId], attribute: ua.AttributeIds
) -> list[ua.DataValue]:
    """One Read, or several where the server takes fewer nodes at once."""

    async def read(some: Sequence[ua.NodeId]) -> list[ua.DataValue]:
        values: list[ua.DataValue] = await client.uaclient.read_attributes(list(some), attribute)
        return values

    return await in_parts(read, nodes) if nodes else []


async def in_parts(
    call: Callable[[Sequence[T]], Awaitable[list[R]]], items: Sequence[T]
) -> list[R]:
    """Call with all items, or with each half where the server takes no so many."""
    try:
        return await call(items)
    except BadTooManyOperations:
        if len(items) == 1:
            raise
        half = len(items) // 2
        return [*await in_parts(call, items[:half]), *await in_parts(call, items[half:])]


class AbsenceNotes:
    """Says once what a controller lacks, and again only when it changes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._said: set[str] = set()

    def tell(self, wrong: Iterable[UnusableSignal]) -> None:
        now = {str(one): one for one in wrong}
        for text in now.keys() - self._said:
            one = now[text]
            told = {"signal": one.signal.wire_name, "node": one.node, "found": one.found}
            lost = LOSSES.get(one.signal, "no line works without it")
            log.error("plc.signal_unusable", url=self._url, **told, remedy=one.remedy, lost=lost)
        self._said = set(now)
