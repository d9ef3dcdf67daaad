"""For tests of pages that follow Kafka: records, feeds that run, and a browser that listens."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import Message

from console.feed.followed import FollowedFeed
from streams.cancellation import beside
from streams.envelope import to_message
from streams.events import Acknowledgement, Alert, Decision
from streams.kafka.delivery import Delivery
from streams.status import ProcessStatus
from streams.topics import ACKS, ALERTS, DECISIONS, STATUS

DEADLINE_S = 20.0
Told = Decision | Acknowledgement | Alert | ProcessStatus
_TOPICS = {Decision: DECISIONS, Acknowledgement: ACKS, Alert: ALERTS, ProcessStatus: STATUS}


def record(event: Told, offset: int) -> Delivery:
    """An event as it stands in the first partition of its topic."""
    message = to_message(event)
    topic = _TOPICS[type(event)].name
    return Delivery(topic, 0, offset, message.key, message.value, message.headers)


async def changed(feed: FollowedFeed, before: int, by: int = 1) -> None:
    """Return once a feed has taken so many more changes."""
    async with asyncio.timeout(DEADLINE_S):
        while feed.changes < before + by:
            await feed.wait(feed.changes, 1.0)


@asynccontextmanager
async def followed(*feeds: FollowedFeed) -> AsyncIterator[None]:
    """The feeds follow what they are given."""
    async with beside(*(feed.run() for feed in feeds)):
        yield


@asynccontextmanager
async def listening(
    app: FastAPI,
    path: str,
    last: str = "",
    query: str = "",
    cookies: Mapping[str, str] | None = None,
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """What a browser with ``Last-Event-ID`` is sent, event by event; a viewer's without cookies."""
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sent.put_nowait(message.get("body", b""))

    async def events() -> AsyncIterator[dict[str, Any]]:
        while True:
            async with asyncio.timeout(DEADLINE_S):
                lines = (await sent.get()).decode().strip().splitlines()
            if lines:
                fields = dict(line.split(": ", 1) for line in lines)
                yield {**fields, "data": json.loads(fields["data"])}

    shown = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
    who = (b"cookie", shown.encode()) if cookies else (b"authorization", b"Bearer viewer")
    headers = [(b"host", b"localhost"), who]
    headers += [(b"last-event-id", last.encode())] if last else []
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
        "root_path": "",
    }
    task = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
    try:
        yield events()
    finally:
        gone.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
