"""Which of a server's variables a signal may be, told from names, types and rights. Pure."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from asyncua import ua

from connectors.handshake.signals import Owner, Signal
from connectors.opcua.coercion import can_hold, taken_types
from connectors.signal_map import NodeAddress

_NEAR: Final = 0.75
"""From this likeness on a name is shown as a guess; it is never taken by itself."""
_GUESSES: Final = 3
_KEYS: Final = {signal.wire_name.lower(): signal for signal in Signal}


@dataclass(frozen=True)
class NamedVariable:
    """One variable of a server."""

    node: NodeAddress
    folder: str
    """The browse names above it."""
    name: str
    kind: ua.VariantType | None = None
    """Its built-in type; None where that is not known, or is none."""
    writable: bool = True

    def known_as(self, kind: ua.VariantType | None, writable: bool) -> "NamedVariable":
        return replace(self, kind=kind, writable=writable)


@dataclass(frozen=True)
class SignalCandidate:
    """A node that a signal may be."""

    node: NodeAddress
    kind: str
    problem: str
    """Why it would not do as it is; empty where it would."""


@dataclass(frozen=True)
class Proposal:
    """Per signal the node that is proposed, and guesses where there is none.

    ``pattern`` is the node id with ``{signal}`` in it, which most of the nodes follow; empty where
    they follow none.
    """

    chosen: Mapping[Signal, SignalCandidate]
    others: Mapping[Signal, tuple[SignalCandidate, ...]]
    pattern: str
    follows: frozenset[Signal]
    """Signals whose node the pattern gives."""


def plain_name(name: str) -> str:
    """The last word of a node's name, in small letters without anything else.

    >>> plain_name('"DB_Andon"."Trigger_Seq"')
    'triggerseq'
    """
    last = re.split(r"[./|]", name.replace('"', "").rstrip("./|"))[-1]
    return re.sub(r"[^a-z0-9]", "", last.lower())


def _nearness(signal: Signal, name: str) -> float:
    """2 for the signal's own name, above 1 with something in front of it, else its likeness.

    >>> _nearness(Signal.READY, "ready"), _nearness(Signal.READY, "xready") > 1.0
    (2.0, True)
    """
    key = signal.wire_name.lower()
    if _KEYS.get(name, signal) is not signal:
        return 0.0  # another signal's own
    if name == key:
        return 2.0
    if name.endswith(key):
        return 1.0 + len(key) / len(name)
    found = difflib.SequenceMatcher(None, name, key)
    return found.ratio() if found.real_quick_ratio() >= _NEAR else 0.0


def likely(variables: Iterable[NamedVariable]) -> list[NamedVariable]:
    """Those whose name is a signal's, or near to one."""
    kept, known = [], dict[str, bool]()
    for one in variables:
        name = plain_name(one.name)
        if name not in known:
            known[name] = any(_nearness(signal, name) >= _NEAR for signal in Signal)
        if known[name]:
            kept.append(one)
    return kept


def propose(variables: Sequence[NamedVariable]) -> Proposal:
    """The most likely node of each signal.

    Signals stand together in one structure, block or folder: the one that has most of them comes
    first. Among its nodes the one with the signal's own name, a fitting type and the right to be
    written.
    """
    home = _home_of(variables)
    chosen: dict[Signal, SignalCandidate] = {}
    others: dict[Signal, tuple[SignalCandidate, ...]] = {}
    for signal in Signal:
        ranked = sorted(
            ((_rank(signal, one, home), number, one) for number, one in enumerate(variables)),
            key=lambda row: (*(-part for part in row[0]), row[1]),
        )
        sure = [one for (named, *_), _, one in ranked if named]
        unsure = [one for (named, _, near, *_), _, one in ranked if not named and near >= _NEAR]
        if sure:
            chosen[signal] = _candidate(signal, sure[0])
        guesses = [*sure[1:], *unsure][:_GUESSES]
        others[signal] = tuple(_candidate(signal, one) for one in guesses)
    pattern, follows = _pattern_of({signal: one.node for signal, one in chosen.items()})
    return Proposal(chosen, others, pattern, follows)


def _home_of(variables: Sequence[NamedVariable]) -> str:
    homes: Counter[str] = Counter()
    for one in variables:
        homes[one.folder] += plain_name(one.name) in _KEYS
    return max(homes, key=lambda folder: homes[folder], default="")


def _rank(
    signal: Signal, variable: NamedVariable, home: str
) -> tuple[bool, bool, float, bool, bool]:
    """Taken by its name; at home; how near the name is; of a fitting type; may be written."""
    near = _nearness(signal, plain_name(variable.name))
    at_home = variable.folder == home
    named = near == 2.0 or (near > 1.0 and at_home)
    fits = variable.kind is not None and can_hold(signal, variable.kind)
    return named, at_home, near, fits, variable.writable or signal.owner is Owner.PLC


def _candidate(signal: Signal, variable: NamedVariable) -> SignalCandidate:
    kind = variable.kind.name if variable.kind is not None else "no built-in type"
    problem = ""
    if variable.kind is None or not can_hold(signal, variable.kind):
        problem = f"is {kind}, not one of {taken_types(signal)}"
    elif signal.owner is Owner.GATEWAY and not variable.writable:
        problem = "this user may not write it"
    return SignalCandidate(variable.node, kind, problem)


def _pattern_of(nodes: Mapping[Signal, NodeAddress]) -> tuple[str, frozenset[Signal]]:
    """The pattern that most nodes follow, and which they are; none for less than a third of all."""
    followers: dict[str, set[Signal]] = {}
    for signal, node in nodes.items():
        text, name = node.as_setting, signal.wire_name
        at = text.rfind(name)
        if isinstance(node.identifier, str) and at >= 0:
            pattern = f"{text[:at]}{{signal}}{text[at + len(name) :]}"
            followers.setdefault(pattern, set()).add(signal)
    best = max(followers, key=lambda pattern: len(followers[pattern]), default="")
    if len(followers.get(best, ())) * 3 < len(Signal) or best.count("{") != 1:
        return "", frozenset()
    return best, frozenset(followers[best])
