"""A part's whole story: pictures, what each stage said and when, and what the PLC did."""

from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from console.access import may_call
from console.identity import who_of
from console.outlines import outline_path
from console.parts import ConsoleParts
from console.rendering import Renderer
from console.story_view import pictured_frames, view_of
from history.filters import FrameFilter
from history.pictures import region_of
from history.records import Story
from streams.errors import UnavailableError

_OTHERS = 20
"""Other times that the same serial number was seen, at most."""


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The route of this page."""

    @app.get("/parts/{frame_id}", include_in_schema=False)
    async def part(request: Request, frame_id: UUID) -> Response:
        """Everything that is known of a part; while the database is away, what is live of it."""
        try:
            story = await parts.history.show(frame_id)
            serial = story.effective.part_id if story.effective else ""
            wanted = FrameFilter(part_id=serial)
            page = await parts.history.list_frames(wanted, _OTHERS) if serial else None
        except UnavailableError:
            if parts.feed.state.part(frame_id) is None:
                raise
            return RedirectResponse(f"/live?part={frame_id}", 303)
        frames = pictured_frames(story)
        shown = frame_id if frame_id in frames else next(iter(frames), None)
        return renderer.page(
            request,
            "part.html",
            story=story,
            view=view_of(story),
            frames=frames,
            shown=shown,
            outline=outline_path(region_of(story, shown)) if shown else "",
            size=_size(story, shown),
            may_review=may_call(who_of(request).role, "GET", "/review"),
            others=[f for f in page.frames if f.frame_id != story.frame_id] if page else [],
        )


def _size(story: Story, shown: UUID | None) -> tuple[int, int]:
    """Width and height of the shown picture, as far as its region says them."""
    region = region_of(story, shown) if shown else None
    return (region.image_width, region.image_height) if region else (0, 0)
