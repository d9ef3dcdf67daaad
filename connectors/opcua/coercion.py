"""Values between a signal's type and the type that a controller's node has."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from asyncua import ua

from connectors.handshake.sequence import LAST
from connectors.handshake.signals import COUNTERS, NAMED, Signal, SignalValue

_Type = ua.VariantType
_INTEGERS: Final[dict[ua.VariantType, tuple[int, int]]] = {
    _Type.SByte: (-(1 << 7), (1 << 7) - 1),
    _Type.Byte: (0, (1 << 8) - 1),
    _Type.Int16: (-(1 << 15), (1 << 15) - 1),
    _Type.UInt16: (0, (1 << 16) - 1),
    _Type.Int32: (-(1 << 31), (1 << 31) - 1),
    _Type.UInt32: (0, (1 << 32) - 1),
    _Type.Int64: (-(1 << 63), (1 << 63) - 1),
    _Type.UInt64: (0, (1 << 64) - 1),
}
_REALS: Final = {_Type.Float: float(1 << 24), _Type.Double: float(1 << 53)}
"""Up to here a real number holds each integer."""
_TEXTS: Final = frozenset({_Type.String, _Type.LocalizedText, _Type.ByteString})
_QUANTITIES: Final = frozenset({Signal.TAKT_MS, Signal.ENCODER_POS})
"""Measured, not counted: of a real number the whole part is taken."""
_KINDS: Final = {
    "Boolean": frozenset({_Type.Boolean, *_INTEGERS}),
    "UInt16": frozenset({*_INTEGERS, *_REALS}),
    "UInt32": frozenset({*_INTEGERS, *_REALS}),
    "Int32": frozenset({*_INTEGERS, *_REALS}),
    "Float": frozenset(_REALS),
    "String": _TEXTS,
    "DateTime": frozenset({_Type.DateTime, _Type.String}),
}
"""The types of a node in which a signal of each type can be held."""
BITS: Final = {kind: (high - low).bit_length() for kind, (low, high) in _INTEGERS.items()}


def can_hold(signal: Signal, kind: ua.VariantType) -> bool:
    """Whether a node of this type can be the signal's."""
    return kind in _kinds(signal)


def last_count(kind: ua.VariantType) -> int:
    """The last number of a counter in a node of this type; a signed one goes on as its bits do.

    >>> last_count(ua.VariantType.Int16), last_count(ua.VariantType.Double)
    (65535, 4294967295)
    """
    bits = BITS.get(kind, 64)
    return min(LAST, (1 << bits) - 1, int(_REALS.get(kind, LAST)))


def taken_types(signal: Signal) -> str:
    """The types that a signal's node may have, its own first."""
    own = signal.data_type
    return ", ".join([own, *sorted({kind.name for kind in _kinds(signal)} - {own})])


def _kinds(signal: Signal) -> frozenset[ua.VariantType]:
    kinds = _KINDS[signal.data_type]
    if signal is Signal.PLC_HEARTBEAT:
        return kinds | {_Type.Boolean}
    return kinds | _TEXTS if signal in NAMED else kinds


def from_wire(signal: Signal, variant: ua.Variant | None) -> SignalValue:
    """The signal's value as a controller shows it; its default where there is none.

    Blanks and NULs around a text are kept, because the result carries the part's id as it was
    written. Bytes that are no UTF-8 are replaced.

    Raises:
        ValueError: the node is of another kind, or its value is out of the signal's range.
    """
    if variant is None or variant.Value is None:
        return signal.default
    if not can_hold(signal, variant.VariantType) or variant.is_array:
        shown = variant.VariantType.name + (" array" if variant.is_array else "")
        raise ValueError(f"is {shown}, not one of {taken_types(signal)}")
    value = variant.Value
    if signal in NAMED and variant.VariantType in _TEXTS:
        return _name(signal, _text(value))
    match signal.data_type:
        case "Boolean":
            return bool(value)
        case "String":
            return _text(value)
        case "DateTime":
            return _time(value)
        case "Float":
            return float(value) if math.isfinite(value) else signal.default
    return _integer(signal, value, variant.VariantType)


def _integer(signal: Signal, value: float, kind: ua.VariantType) -> int:
    measured = signal in _QUANTITIES and math.isfinite(value)
    if isinstance(value, float) and not value.is_integer() and not measured:  # nor finite
        raise ValueError(f"is {value!r}, which is no whole number")
    whole = int(value)
    if signal in COUNTERS and whole < 0 and BITS.get(kind, 64) <= 32:
        whole += 1 << BITS[kind]
    low, high = _INTEGERS[ua.VariantType[signal.data_type]]
    if not low <= whole <= high:
        raise ValueError(f"is {whole}, out of the range {low} to {high}")
    return whole


def _name(signal: Signal, text: str) -> SignalValue:
    """A name; digits alone are the number that they write."""
    plain = text.strip(" \0")
    if plain and not (plain.isascii() and plain.isdigit()):
        return text
    return _integer(signal, int(plain or 0), _Type.Int64)


def _text(value: object) -> str:
    if isinstance(value, ua.LocalizedText):
        value = value.Text or ""
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode("utf-8", "replace")
    # asyncua keeps foreign bytes as lone surrogates
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _time(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip(" \0") or "1601-01-01T00:00:00")
        except ValueError:
            raise ValueError(f"is {value!r}, which is no time") from None
    if not isinstance(value, datetime):
        raise ValueError(f"is {value!r}, which is no time")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def to_wire(signal: Signal, value: SignalValue, kind: ua.VariantType) -> ua.Variant:
    """What is written to a node of type ``kind`` for a signal's value.

    A counter goes on in a signed node as its bits do.

    Raises:
        ValueError: the node cannot hold the value.
    """
    if not can_hold(signal, kind):
        raise ValueError(f"is {kind.name}, not one of {taken_types(signal)}")
    return ua.Variant(_WRITERS.get(kind, _written_integer)(signal, value, kind), kind)


def _written_integer(signal: Signal, value: SignalValue, kind: ua.VariantType) -> int:
    assert isinstance(value, int)
    low, high = _INTEGERS[kind]
    whole = int(value)
    if signal in COUNTERS and high < whole <= last_count(kind):
        whole -= 1 << BITS[kind]
    if not low <= whole <= high:
        raise ValueError(f"is {kind.name}, which cannot hold {whole}")
    return whole


def _written_real(signal: Signal, value: SignalValue, kind: ua.VariantType) -> float:
    assert isinstance(value, int | float)
    if signal.data_type != "Float" and abs(value) > _REALS[kind]:
        raise ValueError(f"is {kind.name}, which cannot hold {value} exactly")
    return float(value) if math.isfinite(value) else 0.0


def _written_text(signal: Signal, value: SignalValue, kind: ua.VariantType) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value).encode("utf-8", "replace").decode()
    if kind is _Type.LocalizedText:
        return ua.LocalizedText(text)
    return text.encode() if kind is _Type.ByteString else text


def _as_it_is(signal: Signal, value: SignalValue, kind: ua.VariantType) -> object:
    if kind is _Type.Boolean:
        assert isinstance(value, int)
        return bool(value & 1)
    return value


_WRITERS: Final[dict[ua.VariantType, Callable[[Signal, SignalValue, ua.VariantType], object]]] = {
    _Type.Boolean: _as_it_is,
    _Type.DateTime: _as_it_is,
    **dict.fromkeys(_REALS, _written_real),
    **dict.fromkeys(_TEXTS, _written_text),
}
