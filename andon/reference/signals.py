"""Writes ``docs/signals.md``: every signal between line controller and gateway."""

from datetime import datetime

from andon.reference.text import GENERATED, table
from connectors.handshake.signals import LOSSES, TRIGGER_GROUP, WATCHED, Owner, Signal
from connectors.settings import GatewaySettings


def _default(setting: str) -> str:
    return str(GatewaySettings.model_fields[setting].default)


_INTERVAL_MS = f"{float(_default('publishing_interval_ms')):g}"
_HEAD = f"""# Signals

{GENERATED}

The controller is the OPC UA server, the gateway its client; [handshake.md](handshake.md) says in
which order they are written. Node ids are `s=<node_prefix>.<Signal>` in the namespace with the URI
of `gateway.namespace`, at the endpoint `gateway.plc_url`: by default
`s={_default("node_prefix")}.<Signal>` in `{_default("namespace")}` at
`{_default("plc_url")}`. `gateway.node_pattern` and `gateway.signals` name other nodes
([plc.md](plc.md)). As shipped the gateway connects without security and without
a user, so let only its host reach the server, or set both up
([plc-security.md](plc-security.md)). It needs to read all signals and to write its own.
It asks for a publishing and sampling interval of {_INTERVAL_MS} ms
(`gateway.publishing_interval_ms`); a server that revises it upwards delays the gateway's view of
each trigger by as much.

Strings may hold any characters; the first 512 count. Counters are UInt32 and wrap from 4294967295
to 1; 0 is a cold start. The default is what a node shows before anyone wrote it, and what a null
is read as.
"""


def reference() -> str:
    """The whole document."""
    lines = [_HEAD]
    for owner, title in (
        (Owner.PLC, "Written by the controller"),
        (Owner.GATEWAY, "Written by the gateway"),
    ):
        heads = ["node", "type", "default", "meaning"]
        heads += ["without it"]
        heads += ["read by the gateway"] if owner is Owner.PLC else []
        rows = [_row(signal) for signal in Signal if signal.owner is owner]
        lines += ["", f"## {title}", "", *table(heads, rows)]
    return "\n".join(lines) + "\n"


def _row(signal: Signal) -> list[str]:
    value = signal.default
    shown = value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else repr(value)
    default = "empty" if value == "" else f"`{shown.lower() if value is False else shown}`"
    node = f"`{_default('node_prefix')}.{signal.wire_name}`"
    row = [node, signal.data_type, default, signal.meaning]
    row += [LOSSES.get(signal, "**needed**: no connection begins")]
    return [*row, _read(signal)] if signal.owner is Owner.PLC else row


def _read(signal: Signal) -> str:
    watched = ["when it changes (subscription)"] if signal in WATCHED else []
    grouped = ["with each trigger, in one Read"] if signal in TRIGGER_GROUP else []
    return "; ".join(watched + grouped) or _OTHERWISE.get(signal, "not read while connected")


_OTHERWISE = {
    Signal.RECIPE_REQ: "when RecipeReqSeq moves",
    Signal.TRIGGER_ENABLE: "not acted on: a trigger counts as one, whatever it says",
}
