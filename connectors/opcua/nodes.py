"""The signals as nodes of an OPC UA server: their ids, and their values on the wire."""

from asyncua import ua

from connectors.errors import NodeSetError
from connectors.handshake.signals import Signal, SignalValue


def node_ids(prefix: str, namespace_index: int) -> dict[Signal, ua.NodeId]:
    """The node of every signal: ``ns=<namespace_index>;s=<prefix>.<wire name>``."""
    return {s: ua.NodeId(f"{prefix}.{s.wire_name}", namespace_index) for s in Signal}


def data_value(signal: Signal, value: SignalValue) -> ua.DataValue:
    """What is written for ``value``, in the signal's own type.

    It carries neither a status nor a time: many controllers refuse a Write that does.
    """
    return ua.DataValue(ua.Variant(value, ua.VariantType[signal.data_type]), StatusCode=None)


_ABSENT = frozenset({"BadNodeIdUnknown", "BadNodeIdInvalid", "BadAttributeIdInvalid"})
_NEEDED = frozenset(
    {
        Signal.PLC_BOOT_ID,
        Signal.TRIGGER_SEQ,
        Signal.TRIGGER_ACK_SEQ,
        Signal.RESULT_SEQ,
        Signal.RESULT_TRIGGER_SEQ,
        Signal.RESULT_ACK_SEQ,
    }
)
"""What tells where a line stands: without one of them no connection begins."""


def is_usable(read: ua.DataValue) -> bool:
    """Whether the value's quality is good, or the node is not there, which is no matter of
    quality."""
    status = read.StatusCode
    return status is None or status.is_good() or status.name in _ABSENT


def value_at_start(signal: Signal, read: ua.DataValue) -> SignalValue:
    """``checked_value``, or what a cold controller shows where the quality is bad and nothing
    depends on it before the next trigger."""
    if not is_usable(read) and signal not in _NEEDED:
        return signal.default
    return checked_value(signal, read)


def checked_value(signal: Signal, read: ua.DataValue) -> SignalValue:
    """The Python value of a data value that was read.

    Raises:
        NodeSetError: the node is absent or of another type; the message names the signal.
    """
    if read.StatusCode is not None and not read.StatusCode.is_good():
        raise NodeSetError(
            f"{signal.wire_name}: {read.StatusCode.name}; the node set is incomplete"
        )
    variant = read.Value
    if variant is None or variant.Value is None:
        return signal.default
    if variant.VariantType.name != signal.data_type:
        raise NodeSetError(
            f"{signal.wire_name} is {variant.VariantType.name}, not {signal.data_type}"
        )
    value: SignalValue = variant.Value
    return value
