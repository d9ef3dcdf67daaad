"""The pieces of the live page as HTML: rendered once for all browsers of a language."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from console.feed.line_state import (
    OPEN,
    PARTS,
    LiveLine,
    LivePart,
    answer_rank,
    newest_of_limits,
)
from console.feed.live_feed import LiveFeed, MissedParts
from console.feed.positions import Positions, has_news
from console.outlines import outline_path
from console.rendering import Renderer
from streams.codes import Action
from streams.events import Alert, Decision

SHOWN: Final = 24
"""Parts of a line that are shown."""
KEPT: Final = PARTS
"""Parts of a line that a page keeps where they came while it was away."""
MOST_AT_ONCE: Final = 500
"""Parts in one message; after a longer break Kafka is read again, piece by piece."""
_REMEMBERED: Final = 4000
Json = dict[str, object]


@dataclass(frozen=True)
class LineView:
    """One line as the page shows it: pieces of HTML."""

    name: str
    head: str
    focus: str
    rows: tuple[str, ...]
    pinned: UUID | None = None
    """The part that is kept in view."""


class LiveFragments:
    """Renders parts and lines.

    Args:
        renderer: of the templates.
        feed: what is rendered.
    """

    def __init__(self, renderer: Renderer, feed: LiveFeed) -> None:
        self._renderer, self._feed = renderer, feed
        self._rows: OrderedDict[tuple[UUID, int, str], str] = OrderedDict()

    def lines(self, language: str, pinned: UUID | None = None) -> list[LineView]:
        """Every line as it stands, by name; a line with the pinned part keeps that in view."""
        self._feed.begin_shifts()
        state = self._feed.state
        return [self._line(state.lines[name], language, pinned) for name in state.line_names()]

    def news(self, change: int, asked: Positions, language: str) -> Json | None:
        """What came after a change, for a browser that had read up to ``asked``.

        A browser that had read nothing yet is given what a page shows; one that was away all that
        is remembered, unless that is too much for one message: None then.
        """
        self._feed.begin_shifts()
        state, found, lines = self._feed.state, [], []
        for line, parts in state.changed_since(change):
            fresh = [part for part in parts if has_news(part.records, asked)]
            found += [(line.name, part) for part in (fresh if asked else fresh[-SHOWN:])]
            is_told = fresh or line.shift_turned > change
            if is_told and (focus := line.newest_stopped()) is not None:
                head, large = self.head(line, language), self.focus(focus, language)
                lines.append({"line": line.name, "head": head, "focus": large})
        if asked and len(found) > MOST_AT_ONCE:
            return None
        rows = [_piece(name, part, self.row(part, language)) for name, part in found]
        told: Json = {"parts": rows, "lines": lines, "fresh": self._feed.is_fresh}
        if state.alerts_changed > change:
            told["alerts"] = self.alerts(language)
        return told

    def missed(self, missed: MissedParts, language: str) -> Json:
        """Parts that are remembered no more, as Kafka told of them."""
        rows = [
            _piece(name, part, self._renderer.fragment("live_row.html", language, _told(part)))
            for name, part in missed.parts
        ]
        fresh = self._feed.is_fresh
        return {"parts": rows, "lines": [], "fresh": fresh, "missed": {"whole": missed.is_whole}}

    def row(self, part: LivePart, language: str) -> str:
        """One part in the list."""
        key = part.identity, part.changed, language
        if key not in self._rows:
            self._rows[key] = self._renderer.fragment("live_row.html", language, _told(part))
            while len(self._rows) > _REMEMBERED:
                self._rows.popitem(last=False)
        return self._rows[key]

    def focus(self, part: LivePart, language: str, is_pinned: bool = False) -> str:
        """One part with its picture as the largest thing."""
        decision = part.decision
        inspection = decision.inspection if decision else None
        region = inspection.region if inspection else None
        size = (inspection.image_width, inspection.image_height) if inspection else (0, 0)
        if region is not None:
            size = region.image_width, region.image_height
        values = {**_told(part), "outline": outline_path(region), "size": size}
        values["is_pinned"] = is_pinned
        return self._renderer.fragment("live_focus.html", language, values)

    def head(self, line: LiveLine, language: str) -> str:
        """A line's name and counters."""
        values = {"line": line, "actions": [action.value for action in Action]}
        return self._renderer.fragment("live_head.html", language, values)

    def alerts(self, language: str) -> str:
        """The alerts that ask to stop, those first that nobody looks after."""
        known = self._feed.acknowledged
        asking = [a for a in reversed(self._feed.state.alerts.values()) if a.request_stop]
        waiting = [alert for alert in asking if alert.alert_id not in known]
        open_ones = newest_of_limits(waiting)
        values = {"open_ones": open_ones, "last": asking[0] if asking else None, "known": known}
        return self._renderer.fragment("live_alerts.html", language, values)

    def _line(self, line: LiveLine, language: str, pinned: UUID | None) -> LineView:
        kept = line.parts.get(pinned) if pinned else None
        focus = kept if kept and kept.decisions else line.newest_stopped()
        return LineView(
            line.name,
            self.head(line, language),
            self.focus(focus, language, focus is kept) if focus else "",
            tuple(self.row(part, language) for part in line.newest(SHOWN)),
            pinned if focus is kept else None,
        )


def with_those_before(meant: Alert, alerts: Iterable[Alert]) -> list[Alert]:
    """An alert and those of its line, product and limit that were raised before it."""
    limit = meant.line, meant.product_id, meant.limit
    alike = [a for a in alerts if (a.line, a.product_id, a.limit) == limit]
    return [alert for alert in alike if alert.raised_at <= meant.raised_at]


def _piece(line: str, part: LivePart, html: str) -> Json:
    return {"id": str(part.identity), "line": line, "html": html}


def _told(part: LivePart) -> Json:
    """What a template says of a part."""
    decision, told = part.decision, part.acknowledgement
    assert decision is not None
    left = part.headroom_ms
    window_ms = decision.result_window_ms
    return {
        "part": part,
        "decision": decision,
        "told": told,
        "is_otherwise": told is not None
        and answer_rank(told) < OPEN
        and told.action is not decision.action,
        "has_picture": _has_picture(decision),
        "used_share": None if left is None else min(1.0, max(0.0, 1 - left / window_ms)),
        "order": decision.captured_at.timestamp(),
    }


def _has_picture(decision: Decision) -> bool:
    """Whether a picture should be kept: of parts that pass only a sample is."""
    odd = decision.inspection is not None and decision.inspection.anomalous
    return odd or decision.action is not Action.PASS
