"""``andon plc browse``: a signal map from what a controller's server has."""

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli.options import Json
from andon.cli.plc_trust import settings_at
from andon.cli.printing import plain, print_found, progress

if TYPE_CHECKING:
    from connectors.handshake.signals import Signal
    from connectors.opcua.browsing import Browsed
    from connectors.opcua.candidates import SignalCandidate

LIMIT = 20_000


def browse(
    url: Annotated[
        str, typer.Argument(help="The controller; ANDON_GATEWAY__PLC_URL without it.")
    ] = "",
    limit: Annotated[int, typer.Option(min=100, max=1_000_000, help="Nodes to look at.")] = LIMIT,
    as_json: Json = False,
) -> None:
    """Find each signal on a server, and print the signal map for andon.toml.

    Exit code 1 where a signal that no line can lack has no node.
    """
    from connectors.handshake.signals import NEEDED
    from connectors.opcua import browsing

    settings = settings_at(url)
    with progress() as bars:
        bar = bars.add_task("nodes", total=None)
        found = asyncio.run(
            browsing.browse(settings.gateway, limit, lambda n: bars.update(bar, completed=n))
        )
    address = settings.gateway.plc_url
    print_found(_body(address, found), map(plain, _toml(address, found)), as_json)
    if NEEDED - found.proposal.chosen.keys():
        raise typer.Exit(1)


def _toml(url: str, found: "Browsed") -> Iterator[str]:
    """The lines of ``andon.toml`` that map the signals, with what is wrong as comments."""
    from connectors.handshake.signals import Signal

    proposal = found.proposal
    yield f"# {len(proposal.chosen)} of {len(Signal)} signals, among {found.variables} variables"
    if not found.is_whole:
        yield "# not all nodes were looked at: give a higher --limit"
    yield "[gateway]"
    yield f"plc_url = {_quoted(url)}"
    if proposal.pattern:
        yield f"node_pattern = {_quoted(proposal.pattern)}"
    yield ""
    yield "[gateway.signals]"
    for signal in Signal:
        yield from _lines(signal, found)


def _lines(signal: "Signal", found: "Browsed") -> Iterator[str]:
    from connectors.handshake.signals import LOSSES, NEEDED

    proposal = found.proposal
    chosen, name = proposal.chosen.get(signal), signal.wire_name
    more = [other.node.as_setting for other in proposal.others[signal]]
    also = f"; or {', '.join(more)}" if more else ""
    if chosen is None and signal in NEEDED:
        guess = f"; perhaps {', '.join(more)}" if more else ""
        yield f"# {name} = NEEDED: no node is called so{guess}"
    elif chosen is None:
        yield f"{name} = 'none'  # not found{also}; {LOSSES[signal]}"
    elif signal not in proposal.follows:
        note = "; ".join(filter(None, (chosen.kind, chosen.problem)))
        yield f"{name} = {_quoted(chosen.node.as_setting)}  # {note}{also}"
    elif chosen.problem or more:
        yield f"# {name} by the pattern: {chosen.problem or chosen.kind}{also}"


def _quoted(text: str) -> str:
    """A string of TOML: a literal one where it holds no apostrophe."""
    if "'" in text or not text.isprintable():
        return json.dumps(text, ensure_ascii=False)
    return f"'{text}'"


def _body(url: str, found: "Browsed") -> dict[str, object]:
    from connectors.handshake.signals import NEEDED, Signal

    def described(one: "SignalCandidate | None") -> dict[str, str] | None:
        if one is None:
            return None
        return {"node": one.node.as_setting, "type": one.kind, "problem": one.problem}

    proposal = found.proposal
    signals = {
        signal.wire_name: {
            "chosen": described(proposal.chosen.get(signal)),
            "by_pattern": signal in proposal.follows,
            "needed": signal in NEEDED,
            "others": [described(one) for one in proposal.others[signal]],
        }
        for signal in Signal
    }
    return {
        "url": url,
        "variables": found.variables,
        "is_whole": found.is_whole,
        "node_pattern": proposal.pattern,
        "signals": signals,
    }
