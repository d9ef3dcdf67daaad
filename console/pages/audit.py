"""What people did, newest first, and whether the record is whole."""

from typing import Final

from fastapi import FastAPI, Request, Response

from console.parts import ConsoleParts
from console.rendering import Renderer
from history.errors import BadQueryError

AT_ONCE: Final = 100


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The route of this page."""

    @app.get("/audit", include_in_schema=False)
    async def audit(request: Request, before: int | None = None, verify: str = "") -> Response:
        """Rows, and with ``verify`` whether every one is as it was written."""
        if before is not None and not 0 < before < 1 << 62:
            raise BadQueryError(f"before {before} is the number of no row")
        rows = await parts.audit.latest(AT_ONCE, before)
        finding = await parts.audit.verify() if verify else None
        older = rows[-1].number if rows and rows[-1].number > 1 else None
        return renderer.page(request, "audit.html", rows=rows, finding=finding, older=older)
