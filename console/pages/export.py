"""A selection of the history as a file: CSV, Parquet, and pictures in the form of others."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from console.frame_query import AskedFrames, read_asked
from console.identity import who_of
from console.parts import ConsoleParts
from console.rendering import Renderer
from history.errors import BadQueryError
from history.export.archive import in_batches, pieces, room_for_an_export, zipped
from history.export.lines import csv_lines

MOST: Final = {"csv": 1_000_000, "parquet": 1_000_000, "mvtec": 5000, "coco": 5000}
"""Parts of one export, by its form: those with pictures are some 100 KB each."""
TEST_SHARE: Final = 0.2


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The route of this page."""
    turn = asyncio.Semaphore(1)

    @app.get("/export/{form}", include_in_schema=False)
    async def export(request: Request, form: str) -> Response:
        """The parts of the filter in the address; what was exported stands in the audit."""
        if form not in MOST:
            raise HTTPException(404, f"there is no export {form!r}; there are {', '.join(MOST)}")
        given = {"passed": "false", **dict(request.query_params)}
        asked = read_asked(given, parts.plant)
        count = (await parts.history.stats(asked.wanted, 1)).frames
        if count > MOST[form]:
            raise BadQueryError(
                f"{count} parts; {form} takes {MOST[form]} at most: narrow the filter"
            )
        if form != "csv" and turn.locked():
            raise HTTPException(429, "another export is being written: try again in a minute")
        chosen = asked.link("/history")
        deed = who_of(request).deed(request, "history.export", chosen[:500])
        said = {"after": form, "reason": f"{count} parts"}
        await parts.audit.append(deed.model_copy(update=said))
        name = f"andon-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{form}"
        if form == "csv":
            return _sent(_csv(parts, asked), "text/csv; charset=utf-8", f"{name}.csv")
        whole = await _begun(_archive(parts, asked, form, turn))
        return _sent(whole, "application/zip", f"{name}.zip")


def _sent(body: AsyncIterator[str | bytes], kind: str, name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(body, media_type=kind, headers=headers)


async def _csv(parts: ConsoleParts, asked: AskedFrames) -> AsyncIterator[str]:
    async with aclosing(parts.history.export(asked.wanted)) as frames:
        async for piece in in_batches(csv_lines(frames)):
            yield piece


async def _begun(stream: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The stream once its first piece is there: what fails before it is refused with its reason."""
    first = await anext(stream)

    async def whole() -> AsyncIterator[bytes]:
        async with aclosing(stream):
            yield first
            async for piece in stream:
                yield piece

    return whole()


async def _archive(
    parts: ConsoleParts, asked: AskedFrames, form: str, turn: asyncio.Semaphore
) -> AsyncGenerator[bytes, None]:
    """Written first and sent then, one at a time: a folder is there only once it is whole."""
    async with turn:
        with room_for_an_export() as room:
            folder = room / form
            await _write(parts, asked, form, folder)
            target = await asyncio.to_thread(zipped, folder, room / "export.zip")
            async for piece in iterate_in_threadpool(pieces(target)):
                yield piece


async def _write(parts: ConsoleParts, asked: AskedFrames, form: str, folder: Path) -> None:
    async with aclosing(parts.history.export(asked.wanted)) as frames:
        if form == "parquet":
            from history.export.parquet import write_parquet  # pyarrow loads slowly

            await write_parquet(frames, folder)
        elif form == "mvtec":
            from history.export.mvtec import write_mvtec

            await write_mvtec(frames, parts.store, folder, TEST_SHARE)
        else:
            from history.export.coco import write_coco

            await write_coco(frames, parts.store, folder)
