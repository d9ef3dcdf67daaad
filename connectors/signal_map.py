"""Which node of a controller's server holds each signal: node ids as plants write them. Pure.

A node id is text as the OPC UA standard writes it (part 6, 5.3.1.10), with its namespace by URI or
by index: ``nsu=urn:plc;s=Andon.Ready``, ``ns=3;i=1001``, ``g=...``, ``b=...``.
"""

import base64
import binascii
import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote
from uuid import UUID

from connectors.handshake.signals import NEEDED, Owner, Signal, SignalValue

NAMESPACE: Final = "urn:andon:line"
"""The namespace that is meant where none is set."""
_FORM: Final = re.compile(
    r"(?:nsu=(?P<uri>[^;]+);|ns=(?P<index>[0-9]{1,5});)?(?P<kind>[isgb])=(?P<name>.+)", re.DOTALL
)
_EXAMPLE: Final = 'write it like nsu=urn:plc;s=Andon.Ready, ns=3;s="DB"."Ready" or ns=2;i=1001'
_CONSTANTS: Final = frozenset(
    {Signal.LOT_ID, Signal.PRODUCT_ID, Signal.ENCODER_POS, Signal.TAKT_MS, Signal.RECIPE_REQ}
)
"""Signals of the controller that may be one value for good."""


@dataclass(frozen=True)
class Preset:
    """How the servers of one make name the members of a structure or folder."""

    pattern: str
    namespace: str
    about: str


PRESETS: Final = {
    "siemens": Preset(
        's="{prefix}"."{signal}"',
        "http://www.siemens.com/simatic-s7-opcua",
        "S7-1500: a global data block called as `node_prefix`",
    ),
    "beckhoff": Preset(
        "s=MAIN.{prefix}.{signal}",
        "urn:BeckhoffAutomation:Ua:PLC1",
        "TF6100: a structure in MAIN of the first runtime",
    ),
    "codesys": Preset(
        "s=|var|PLC.Application.{prefix}.{signal}",
        "CODESYSSPV3/3S/IecVarAccess",
        "a global variable list; the device is called PLC",
    ),
    "ignition": Preset(
        "s=[default]{prefix}/{signal}",
        "urn:inductiveautomation:ignition:opcua:tags",
        "a folder of tags of the default provider",
    ),
    "kepware": Preset(
        "s=Channel1.Device1.{prefix}.{signal}", "KEPServerEX", "a group of tags of a device"
    ),
}
"""Patterns by make. The namespace counts where ``gateway.namespace`` is left as it is."""


@dataclass(frozen=True)
class NodeAddress:
    """A node id: identifier, and its namespace by URI (which counts) or by index."""

    identifier: int | str | UUID | bytes
    uri: str = ""
    index: int = 0

    def __str__(self) -> str:
        where = f"nsu={self.uri};" if self.uri else f"ns={self.index};" if self.index else ""
        return where + _identifier_text(self.identifier)

    @property
    def as_setting(self) -> str:
        """The node id as the settings read it back, whatever is in its namespace's URI.

        >>> NodeAddress(7, "urn:a;b").as_setting
        'nsu=urn:a%3Bb;i=7'
        """
        return str(replace(self, uri=self.uri.replace("%", "%25").replace(";", "%3B")))


def _identifier_text(identifier: int | str | UUID | bytes) -> str:
    match identifier:
        case int():
            return f"i={identifier}"
        case UUID():
            return f"g={identifier}"
        case bytes():
            return f"b={base64.b64encode(identifier).decode()}"
    return f"s={identifier}"


def read_node_id(text: str, namespace: str = "") -> NodeAddress:
    """The node id that a text writes; ``namespace`` is meant where the text names none.

    Raises:
        ValueError: with the form to write instead.

    >>> read_node_id('ns=3;s="DB_Andon"."Ready"')
    NodeAddress(identifier='"DB_Andon"."Ready"', uri='', index=3)
    >>> str(read_node_id("i=1001", "urn:plc"))
    'nsu=urn:plc;i=1001'
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no node id; {_EXAMPLE}")
    kind, name = found["kind"], found["name"]
    identifier: int | str | UUID | bytes = name
    try:
        if kind == "i":
            identifier = int(name)
            if not 0 <= identifier <= 0xFFFFFFFF:
                raise ValueError
        elif kind == "g":
            identifier = UUID(name)
        elif kind == "b":
            identifier = base64.b64decode(name, validate=True)
    except (ValueError, binascii.Error):
        kinds = {"i": "number of 32 bits", "g": "GUID", "b": "base64 text"}
        raise ValueError(f"{text!r}: {name!r} is no {kinds[kind]}; {_EXAMPLE}") from None
    if found["index"] is not None:
        return NodeAddress(identifier, index=int(found["index"]))
    return NodeAddress(identifier, uri=unquote(found["uri"] or namespace))


def read_signal_name(text: str) -> Signal:
    """The signal that a text names, whatever its capitals and underscores.

    >>> read_signal_name("trigger_seq") is read_signal_name("TRIGGERSEQ") is Signal.TRIGGER_SEQ
    True
    """
    plain = text.replace("_", "").lower()
    for signal in Signal:
        if signal.wire_name.lower() == plain:
            return signal
    raise ValueError(f"there is no signal {text!r}, but {', '.join(s.wire_name for s in Signal)}")


def read_pattern(text: str, namespace: str, prefix: str) -> tuple[str, str]:
    """The pattern with ``prefix`` in it, and its namespace; ``text`` may be a make of ``PRESETS``.

    >>> read_pattern("siemens", NAMESPACE, "DB_Andon")
    ('s="DB_Andon"."{signal}"', 'http://www.siemens.com/simatic-s7-opcua')
    """
    if preset := PRESETS.get(text.strip().lower()):
        text = preset.pattern
        namespace = preset.namespace if namespace == NAMESPACE else namespace
    pattern = (text or "s={prefix}.{signal}").replace("{prefix}", prefix)
    if pattern.count("{signal}") != 1:
        known = ", ".join(PRESETS)
        raise ValueError(
            f"{text!r} is no pattern: write {{signal}} once in it, as in "
            f"ns=4;s=MAIN.Andon.{{signal}}, or one of {known}"
        )
    read_node_id(pattern)
    return pattern, namespace


@dataclass(frozen=True)
class SignalMap:
    """Where each signal is: at a node, always the same value, or nowhere."""

    nodes: dict[Signal, NodeAddress]
    constants: dict[Signal, SignalValue]
    """What stands for the signals that have no node: the setting's value, or the default."""

    def __post_init__(self) -> None:
        twice: dict[NodeAddress, Signal] = {}
        for signal, node in self.nodes.items():
            other = twice.setdefault(node, signal)
            if other is not signal:
                names = f"{other.wire_name} and {signal.wire_name}"
                raise ValueError(f"{names} are both at {node}; give each a node of its own")


def read_signal_map(
    pattern: str, namespace: str, prefix: str, signals: dict[str, str]
) -> SignalMap:
    """The map of a pattern and of the signals that differ from it.

    Args:
        signals: node id by signal; ``none``: there is no such node; ``=VALUE``: always this value.

    Raises:
        ValueError: what is wrong, of which signal, and what to write instead.
    """
    shape, namespace = read_pattern(pattern, namespace, prefix)
    given = {read_signal_name(name): text.strip() for name, text in signals.items()}
    nodes: dict[Signal, NodeAddress] = {}
    constants: dict[Signal, SignalValue] = {}
    for signal in Signal:
        text = given.get(signal, shape.replace("{signal}", signal.wire_name))
        try:
            if text.lower() in ("", "none") or text.startswith("="):
                constants[signal] = _constant(signal, text)
            else:
                nodes[signal] = read_node_id(text, namespace)
        except ValueError as error:
            raise ValueError(f"{signal.wire_name}: {error}") from None
    return SignalMap(nodes, constants)


def _constant(signal: Signal, text: str) -> SignalValue:
    if signal in NEEDED:
        raise ValueError("no line works without it; give its node id")
    if not text.startswith("="):
        return signal.default
    if signal not in _CONSTANTS:
        side = "the gateway writes it" if signal.owner is Owner.GATEWAY else "it changes"
        raise ValueError(f"it cannot be always {text[1:]!r}, because {side}; write none instead")
    value = text[1:].strip()
    if signal.data_type == "String":
        return value
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise ValueError(f"{value!r} is no number")
    return int(value)
