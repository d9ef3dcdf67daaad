"""A line as its controls engineer sees it: handshake, triggers one by one, workers, versions."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from console.feed.positions import Positions, is_beyond, read_positions
from console.feed.status_feed import HeardProcess
from console.feed.trigger_rows import (
    StageLatency,
    TriggerRow,
    VersionsInForce,
    in_force,
    latencies,
    rows_of,
)
from console.identity import asking
from console.pages.line_fragments import OVER, ROWS, LineFragments, fresh_rows
from console.parts import ConsoleParts
from console.rendering import Renderer, asked_language
from streams.cancellation import first_done
from streams.status import ProcessStatus

BEAT_S: Final = 2.0
"""A browser that hears nothing for three beats says that what it shows is old."""
GATHER_S: Final = 0.4
"""What comes within it is one message."""
CHECK_S: Final = 5.0
"""How long a stream may outlive its session."""
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class ProcessReport(BaseModel):
    """The last word of one process, and how long ago it was."""

    status: ProcessStatus
    heard_s_ago: float
    is_up: bool
    """Whether it runs, as far as is known: it has not ended, nor been silent for too long."""


class LinesReport(BaseModel):
    """Every line, and every process that says how it is."""

    is_fresh: bool
    """Whether Kafka is heard, and all that stands there has been read."""
    lines: tuple[str, ...]
    processes: tuple[ProcessReport, ...]


class LineReport(BaseModel):
    """One line: its gateways, its last triggers, the latency of each stage, what is in force."""

    line: str
    is_fresh: bool
    gateways: tuple[ProcessReport, ...]
    triggers: tuple[TriggerRow, ...]
    """Newest first."""
    latencies: tuple[StageLatency, ...]
    in_force: tuple[VersionsInForce, ...]


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""
    fragments = LineFragments(renderer, parts.feed, parts.status)

    def page(request: Request, names: list[str]) -> Response:
        language = asked_language(request)
        return renderer.page(
            request,
            "line.html",
            lines=[fragments.line(name, language) for name in names],
            names=fragments.line_names(),
            workers=fragments.workers(language),
            word=parts.status.word,
            is_fresh=parts.status.is_fresh,
            shown=ROWS,
        )

    @app.get("/line", include_in_schema=False)
    def lines(request: Request) -> Response:
        """Every line as it stands."""
        return page(request, fragments.line_names())

    @app.get("/line/{line:path}", include_in_schema=False)
    def line(request: Request, line: str) -> Response:
        """One line as it stands."""
        if line not in fragments.line_names():
            raise HTTPException(404, f"nothing was heard of a line {line!r}")
        return page(request, [line])

    @app.get("/line-events", include_in_schema=False)
    async def events(request: Request, since: str = "", line: str = "") -> Response:
        """What changes, as server-sent events; of one line, or of all."""
        asked = read_positions(request.headers.get("last-event-id") or since)
        stream = _stream(request, parts, fragments, asked, line)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)

    _add_api(app, parts, fragments)


def _add_api(app: FastAPI, parts: ConsoleParts, fragments: LineFragments) -> None:
    @app.get("/api/lines")
    def lines() -> LinesReport:
        """Every line, and how each gateway and worker is, as it said last."""
        return LinesReport(
            is_fresh=parts.status.is_fresh,
            lines=tuple(fragments.line_names()),
            processes=tuple(_report(h, parts.status.now_s) for h in parts.status.processes()),
        )

    @app.get("/api/lines/{line:path}", responses={404: {"description": "Nothing was heard of it."}})
    def line(line: str) -> LineReport:
        """One line: handshake, last triggers with their times, latencies, versions in force."""
        if line not in fragments.line_names():
            raise HTTPException(404, f"nothing was heard of a line {line!r}")
        known, now_s = fragments.parts(line), parts.status.now_s
        return LineReport(
            line=line,
            is_fresh=parts.status.is_fresh and parts.feed.is_fresh,
            gateways=tuple(_report(h, now_s) for h in parts.status.gateways(line)),
            triggers=tuple(rows_of(known, ROWS)),
            latencies=tuple(latencies(known[-OVER:])),
            in_force=tuple(in_force(known[-OVER:])),
        )


def _report(heard: HeardProcess, now_s: float) -> ProcessReport:
    age_s = round(heard.age_s(now_s), 3)
    return ProcessReport(status=heard.status, heard_s_ago=age_s, is_up=heard.is_up(now_s))


async def _stream(
    request: Request, parts: ConsoleParts, fragments: LineFragments, asked: Positions, line: str
) -> AsyncIterator[str]:
    """Messages for one browser, until its session ends or it goes.

    What it is sent are states: pieces that differ from what it was sent before on this connection,
    so that nothing is missing after a break however long it was.
    """
    loop, language, status = asyncio.get_running_loop(), asked_language(request), parts.status
    sent: dict[str, str] = {}
    checked = loop.time()
    while True:
        if status.is_fresh and is_beyond(asked, status.positions):
            yield _message("begin-again", {}, status.word)
            return
        seen = status.changes, parts.feed.state.changes
        fresh = status.is_fresh and parts.feed.is_fresh
        news = _news(fragments, language, line, sent)
        yield _message("line", {**news, "fresh": fresh, "ages": fragments.ages()}, status.word)
        await asyncio.sleep(GATHER_S)
        await _changed(parts, *seen)
        if loop.time() - checked > CHECK_S:
            checked = loop.time()
            if await asking(request) is None:
                yield _message("begin-again", {}, status.word)
                return


async def _changed(parts: ConsoleParts, processes: int, triggers: int) -> None:
    """Return once either feed has changed after these changes, or after a beat."""
    await first_done(
        parts.status.wait(processes, BEAT_S - GATHER_S),
        parts.feed.wait(triggers, BEAT_S - GATHER_S),
    )


def _news(
    fragments: LineFragments, language: str, line: str, sent: dict[str, str]
) -> dict[str, object]:
    """The pieces that a browser does not have; remembers them as sent."""
    pieces = [{"id": "workers", "html": fragments.workers(language)}]
    rows = []
    for name in [line] if line else fragments.line_names():
        pieces.append({"id": f"gateways:{name}", "html": fragments.gateways(name, language)})
        pieces.append({"id": f"figures:{name}", "html": fragments.figures(name, language)})
        fresh = fresh_rows(fragments.rows(name, language), sent)
        rows += [{"line": name, "id": key, "html": html} for key, html in fresh]
    changed = [piece for piece in pieces if sent.get(piece["id"]) != piece["html"]]
    sent.update({piece["id"]: piece["html"] for piece in changed})
    return {"pieces": changed, "rows": rows}


def _message(kind: str, data: object, word: str) -> str:
    return f"event: {kind}\nid: {word}\ndata: {json.dumps(data)}\n\n"
