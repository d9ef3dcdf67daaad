"""The pieces of the line's page as HTML: rendered once for all browsers of a language."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from connectors.handshake.signals import Owner, Signal
from console.feed.line_state import LivePart
from console.feed.live_feed import LiveFeed
from console.feed.status_feed import HeardProcess, StatusFeed
from console.feed.trigger_rows import TriggerRow, in_force, latencies, rows_of
from console.rendering import Renderer
from streams.codes import AckOutcome
from streams.status import GatewayState, LinePhase

ROWS: Final = 40
"""Triggers of a line that are shown."""
OVER: Final = 200
"""Parts over which latencies are told."""
_REMEMBERED: Final = 4000
_LADDER: Final = (
    ("connected", LinePhase.DISCONNECTED),
    ("in_charge", LinePhase.STANDBY),
    ("alive", LinePhase.SILENT),
    ("no_fault", LinePhase.FAULT),
    ("recipe", LinePhase.CHANGEOVER),
    ("room", LinePhase.FULL),
)
"""What must hold before a trigger is captured, in order, and the phase in which it does not."""


@dataclass(frozen=True)
class LadderStep:
    """One condition of the state chart."""

    name: str
    state: str
    """``done``, ``here`` (it fails) or ``open`` (not asked yet)."""


@dataclass(frozen=True)
class SignalCell:
    """One signal of the controller, as it was read or written last."""

    name: str
    value: str


@dataclass(frozen=True)
class LinePieces:
    """One line as the page shows it."""

    name: str
    gateways: str
    rows: tuple[str, ...]
    figures: str


class LineFragments:
    """Renders gateways, workers and triggers.

    Args:
        renderer: of the templates.
        feed: the parts.
        status: the processes.
    """

    def __init__(self, renderer: Renderer, feed: LiveFeed, status: StatusFeed) -> None:
        self._renderer, self._feed, self._status = renderer, feed, status
        self._known: OrderedDict[tuple[object, ...], str] = OrderedDict()

    def line_names(self) -> list[str]:
        """Every line that a gateway or a part was heard of."""
        return sorted(self._status.line_names() | set(self._feed.state.line_names()))

    def ages(self) -> dict[str, float]:
        """How long ago each process said something, seconds, by its key."""
        now_s = self._status.now_s
        return {h.status.key: round(h.age_s(now_s), 1) for h in self._status.processes()}

    def parts(self, line: str) -> list[LivePart]:
        """The parts of a line that are remembered, oldest first."""
        known = self._feed.state.lines.get(line)
        return list(known.parts.values()) if known else []

    def line(self, name: str, language: str) -> LinePieces:
        """One line as it stands."""
        rows = tuple(html for _, html in self.rows(name, language))
        return LinePieces(name, self.gateways(name, language), rows, self.figures(name, language))

    def gateways(self, name: str, language: str) -> str:
        """The gateways of a line: who is in charge, state chart, signals, faults, counts."""
        heard = [_seen(one, self._status.now_s) for one in self._status.gateways(name)]
        shown = [one for one in heard if not one["is_gone"]]
        shown.sort(key=_in_charge_first)
        return self._renderer.fragment("line_gateways.html", language, {"gateways": shown})

    def workers(self, language: str) -> str:
        """The workers of every line."""
        heard = [_seen(one, self._status.now_s) for one in self._status.workers()]
        shown = [one for one in heard if not one["is_gone"]]
        values = {"workers": shown, "gone": len(heard) - len(shown)}
        return self._renderer.fragment("line_workers.html", language, values)

    def rows(self, name: str, language: str) -> Iterator[tuple[TriggerRow, str]]:
        """The last triggers of a line, newest first."""
        parts = self.parts(name)
        changed = {part.identity: part.changed for part in parts}
        newest = rows_of(list(islice(reversed(parts), 2 * ROWS))[::-1], ROWS)
        for row in newest:
            key = row.identity, changed[row.identity], row.gap, row.order, language
            yield row, self._remembered(key, "line_row.html", language, {"row": row, **_bar(row)})

    def figures(self, name: str, language: str) -> str:
        """Latency of each stage, and what is in force."""
        line = self._feed.state.lines.get(name)
        key = "figures", name, line.changed if line else 0, self._status.changes, language
        last = self.parts(name)[-OVER:]
        versions = in_force(last)
        told = {v.product_id: self._policies(name, v.product_id) for v in versions}
        values = {"latencies": latencies(last), "versions": versions, "told": told}
        return self._remembered(key, "line_figures.html", language, values)

    def _policies(self, line: str, product: str) -> dict[str, list[str]]:
        """Policy's hash -> the running processes in which it is in force for the product."""
        found: dict[str, list[str]] = {}
        for heard in (*self._status.gateways(line), *self._status.workers()):
            policy = heard.status.policies.get(product)
            if policy and heard.is_up(self._status.now_s):
                found.setdefault(policy, []).append(heard.status.role)
        return found

    def _remembered(
        self, key: tuple[object, ...], template: str, language: str, values: dict[str, object]
    ) -> str:
        if key not in self._known:
            self._known[key] = self._renderer.fragment(template, language, values)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]


def _in_charge_first(one: dict[str, object]) -> tuple[bool, bool, str]:
    own = one["own"]
    assert isinstance(own, GatewayState)
    return not own.in_charge, not one["is_up"], own.station


def _seen(heard: HeardProcess, now_s: float) -> dict[str, object]:
    """What a template says of a process."""
    status = heard.status
    found: dict[str, object] = {
        "status": status,
        "is_up": heard.is_up(now_s),
        "is_silent": heard.is_silent(now_s),
        "is_gone": heard.is_gone(now_s),
        "own": status.gateway or status.worker,
    }
    if status.gateway is not None:
        found["ladder"] = ladder(status.gateway.phase)
        found["signals"] = signals(status.gateway)
    return found


def ladder(phase: LinePhase) -> list[LadderStep]:
    """The conditions of a capture: which hold, and which is the first that does not."""
    order = [failing for _, failing in _LADDER]
    at = order.index(phase) if phase in order else len(order)
    states = ["done" if n < at else "here" if n == at else "open" for n in range(len(order))]
    steps = [LadderStep(name, state) for (name, _), state in zip(_LADDER, states, strict=True)]
    last = "exposing" if phase is LinePhase.EXPOSING else "ready"
    return [*steps, LadderStep(last, "done" if at == len(order) else "open")]


def signals(gateway: GatewayState) -> dict[str, list[SignalCell]]:
    """The signals by who writes them, in the documented order; unknown ones last."""
    given = dict(gateway.signals)
    found: dict[str, list[SignalCell]] = {owner.value: [] for owner in Owner}
    for signal in Signal:
        if signal.wire_name in given:
            cell = SignalCell(signal.wire_name, worded(given.pop(signal.wire_name)))
            found[signal.owner.value].append(cell)
    found[Owner.GATEWAY.value] += [SignalCell(name, worded(v)) for name, v in given.items()]
    return found


def worded(value: object) -> str:
    """A value as the page shows it.

    >>> worded(True), worded(0.25), worded("")
    ('1', '0.25', '–')
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "–"


def _bar(row: TriggerRow) -> dict[str, object]:
    """The row as bars: shares of a scale of 100 whose window ends at 80."""
    scale = 80.0 / max(row.window_ms, 1.0)
    marks = [row.frame_ms, row.decided_ms, row.written_ms, row.acknowledged_ms]
    bars: list[tuple[str, float, float]] = []
    begun = 0.0
    for kind, mark in zip(("frame", "decide", "write", "acknowledge"), marks, strict=True):
        if mark is not None:
            end = min(max(mark * scale, begun), 100.0)
            bars.append((kind, round(begun, 2), round(end - begun, 2)))
            begun = end
    lates = [round(min(late.after_ms * scale, 99.0), 2) for late in row.late]
    is_bad = row.outcome not in (AckOutcome.ACKNOWLEDGED.value, "none")
    tight = row.headroom_ms is not None and row.headroom_ms < 0.1 * row.window_ms
    values: dict[str, object] = {"bars": bars, "lates": lates, "is_bad": is_bad, "tight": tight}
    return {**values, "order": row.order}


def fresh_rows(
    rows: Iterable[tuple[TriggerRow, str]], sent: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Rows that differ from what a browser has, with their element's id; remembers them as sent."""
    for row, html in rows:
        name = f"t{row.identity}"
        if sent.get(name) != html:
            sent[name] = html
            yield name, html
