"""The history as a gallery or a list: every filter, every page of it, is a link that stays."""

from typing import Final

from fastapi import FastAPI, Request, Response

from console.frame_query import read_asked
from console.parts import ConsoleParts
from console.rendering import Renderer
from streams.codes import Action, DecisionSource, Severity

AT_ONCE: Final = 60
VIEWS: Final = ("gallery", "list")


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The route of this page."""

    @app.get("/history", include_in_schema=False)
    async def search(request: Request) -> Response:
        """Stopped parts, or all that were asked for, newest first; the next ones for htmx."""
        given = {"passed": "false", **dict(request.query_params)}
        asked = read_asked(given, parts.plant)
        view = given.get("view", "")
        view = view if view in VIEWS else VIEWS[0]
        page = await parts.history.list_frames(asked.wanted, AT_ONCE, given.get("cursor") or None)
        change = {"view": "" if view == VIEWS[0] else view}
        more = asked.link("/history", cursor=page.next_cursor, **change) if page.next_cursor else ""
        is_piece = "hx-request" in request.headers
        return renderer.page(
            request,
            "search_parts.html" if is_piece else "search.html",
            asked=asked,
            given=asked.given,
            frames=page.frames,
            more=more,
            view=view,
            views=VIEWS,
            codes={"action": Action, "severity": Severity, "source": DecisionSource},
        )
