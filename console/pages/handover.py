"""What a shift leaves to the next one: counters, requests to stop, and notes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from console.feed.line_state import LiveLine, newest_of_limits
from console.feed.live_feed import LiveFeed
from console.forms import form_of
from console.identity import who_of
from console.parts import ConsoleParts
from console.rendering import Renderer
from history.handovers import ShiftNote
from streams.codes import Action
from streams.ids import new_frame_id

LONGEST: Final = 4000
"""Characters of a note."""
SHOWN: Final = 5
"""Notes of a line that are shown."""


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""

    async def shown(request: Request, status: int = 200, **told: str) -> Response:
        parts.feed.begin_shifts()
        notes, names = await parts.handovers.latest(SHOWN), set(parts.feed.state.line_names())
        names |= {note.line for note in notes}
        actions = [action.value for action in Action]
        lines = [_line(parts.feed, name, notes) for name in sorted(names)]
        values = {"lines": lines, "actions": actions, "longest": LONGEST}
        texts = {"problem": "", "failed": "", "note": "", **told}
        return renderer.page(request, "handover.html", status, **values, **texts)

    @app.get("/handover", include_in_schema=False)
    async def handover(request: Request) -> Response:
        """Every line's shift as it stands, and the notes of the ones before."""
        return await shown(request)

    @app.post("/handover", include_in_schema=False)
    async def leave_note(request: Request) -> Response:
        """A note to the next shift, with the counters of this moment."""
        form, who = await form_of(request), who_of(request)
        line, note = form.get("line", "").strip()[:256], form.get("note", "").strip()
        is_long = len(note.replace("\r\n", "\n")) > LONGEST  # as the page counts what it sends so
        if not line or not note or is_long:
            problem = "handover.long" if is_long else "handover.empty"
            return await shown(request, 422, problem=problem, failed=line, note=note)
        parts.feed.begin_shifts()
        now, live = datetime.now(UTC), parts.feed.state.lines.get(line)
        shift = parts.plant.shift_at(now)[0]
        written = ShiftNote(
            note_id=_id_of(form),
            at=now,
            line=line,
            shift=shift,
            author=who.name,
            note=note,
            counted=counted(live) if live is not None else {},
        )
        await parts.handovers.add(written, who.deed(request, "handover.note", line))
        return RedirectResponse("/handover", 303)


def _id_of(form: Mapping[str, str]) -> UUID:
    """Of the form that the page showed: one that is sent twice leaves one note."""
    try:
        return UUID(form["id"])
    except (KeyError, ValueError):
        return new_frame_id()


def _line(feed: LiveFeed, name: str, notes: Sequence[ShiftNote]) -> dict[str, object]:
    """What the page shows of a line."""
    known = feed.acknowledged
    asking = [a for a in reversed(feed.state.alerts.values()) if a.request_stop and a.line == name]
    return {
        "name": name,
        "new_id": new_frame_id(),
        "live": feed.state.lines.get(name),
        "open": newest_of_limits([alert for alert in asking if alert.alert_id not in known]),
        "taken": [(alert, known[alert.alert_id]) for alert in asking if alert.alert_id in known],
        "notes": [note for note in notes if note.line == name],
    }


def counted(line: LiveLine) -> Mapping[str, int]:
    """The counters of a line's shift, as a note keeps them."""
    return {"total": line.total, "missed": line.missed, **line.actions}
