"""Tells one program by HTTP what the line decides: in order, signed, at least once.

It reads Kafka by itself and beside everything else, one message at a time: a receiver that is slow
or away holds up nobody but itself, and nothing waits in memory. How far it is stands in a file.
Messages are CloudEvents in JSON, signed as https://www.standardwebhooks.com says.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final

import structlog

from console.feed.followed import RecordFeed
from console.feed.positions import Partition, read_positions, write_positions
from console.webhook_settings import WebhookSettings
from streams.backoff import backoff_s
from streams.codes import Action
from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Acknowledgement, Alert, Decision
from streams.kafka.delivery import Delivery
from streams.topics import ACKS, ALERTS, DECISIONS

log = structlog.get_logger(__name__)
FILE: Final = "webhook.json"
Post = Callable[[bytes, Mapping[str, str]], Awaitable[int]]
"""Posts a body with headers: the status of the answer. Raises ``OSError`` where there is none."""
_KINDS: Final = {DECISIONS.name: "decision", ACKS.name: "acknowledgement", ALERTS.name: "alert"}
_OK: Final = range(200, 300)
_HEAVY: Final = {"inspection": {"region", "shadows"}, "classification": {"candidates"}}
"""What makes a decision large and is asked for at the API."""


def topics_of(settings: WebhookSettings) -> list[str]:
    """The topics that have what is told."""
    return [topic for topic, kind in _KINDS.items() if kind in settings.events]


def message_of(record: Delivery, settings: WebhookSettings) -> tuple[str, bytes] | None:
    """The identity and the body of what is posted; None for what is not told.

    Raises:
        EventError: the record cannot be read.
    """
    value, headers = record.value, record.headers
    if record.topic == ALERTS.name:
        alert = from_message(Alert, value, headers)
        return _event(alert, str(alert.alert_id), alert.raised_at.isoformat())
    if record.topic == ACKS.name:
        told = from_message(Acknowledgement, value, headers)
        return _event(told, f"{told.result_id}/{told.outcome.value}", told.captured_at.isoformat())
    decision = from_message(Decision, value, headers)
    if decision.is_late or (settings.only_stopped and decision.action is Action.PASS):
        return None
    return _event(decision, str(decision.result_id), decision.decided_at.isoformat())


def _event(event: Decision | Acknowledgement | Alert, identity: str, at: str) -> tuple[str, bytes]:
    heavy = _HEAVY if isinstance(event, Decision) else None
    data = event.model_dump(mode="json", exclude=heavy)
    body = {
        "specversion": "1.0",
        "id": identity,
        "source": f"/andon/{event.line}",
        "type": event.event_type,
        "time": at,
        "datacontenttype": "application/json",
        "data": data,
    }
    return identity, json.dumps(body, separators=(",", ":")).encode()


def signed_headers(secret: str, identity: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of a message.

    >>> signed_headers("0123456789abcdef", "m1", 1, b"{}")["webhook-signature"]
    'v1,dR7WBDDP1Kxvwax0dfcARfDnV8RJjPm2/vF0rqc/q+I='
    """
    signed = f"{identity}.{at_s}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return {
        "content-type": "application/cloudevents+json",
        "user-agent": "andon",
        "webhook-id": identity,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


class Webhook:
    """Posts what is told, for as long as it runs.

    Args:
        settings: with an address.
        reader: of ``topics_of``, without a consumer group, from the time that ``begin_s`` says.
        post: posts one message.
        folder: where it keeps how far it is.
    """

    def __init__(
        self, settings: WebhookSettings, reader: RecordFeed, post: Post, folder: Path
    ) -> None:
        self._settings, self._reader, self._post = settings, reader, post
        self._file = folder / FILE
        self._done: dict[Partition, int] = dict(read_positions(_kept(self._file).get("positions")))

    async def run(self) -> None:
        """Follow for ever; cancel it."""
        async with aclosing(self._reader.follow()) as polls:
            async for records in polls:
                for record in records:
                    await self._take(record)

    async def _take(self, record: Delivery) -> None:
        """One record to its end: told, passed over, or too old."""
        partition = record.topic, record.partition
        if record.offset < self._done.get(partition, 0):
            return
        try:
            message = message_of(record, self._settings)
        except EventError as error:
            log.warning("webhook.unreadable", topic=record.topic, why=str(error)[:300])
            message = None
        if message is not None:
            await self._deliver(*message, produced_s=record.produced_s or time.time())
            self._done[partition] = record.offset + 1
            kept = {"positions": write_positions(self._done), "at_s": record.produced_s or 0.0}
            await asyncio.to_thread(_keep, self._file, kept)

    async def _deliver(self, identity: str, body: bytes, produced_s: float) -> None:
        """Returns once the receiver has it, or it is too old to be told."""
        attempt = 0
        while True:
            why = await self._try(identity, body)
            if not why:
                return
            if time.time() - produced_s > self._settings.give_up_s:
                log.error("webhook.passed_over", id=identity, why=why)
                return
            if attempt in (0, 5) or attempt % 60 == 0:
                log.warning("webhook.not_taken", id=identity, why=why, attempt=attempt)
            pause_s = backoff_s(attempt, 1.0, self._settings.longest_pause_s, jitter=0.5)
            await asyncio.sleep(pause_s)
            attempt += 1

    async def _try(self, identity: str, body: bytes) -> str:
        """Empty where it was taken; else why not."""
        secret = self._settings.secret.get_secret_value()
        headers = signed_headers(secret, identity, int(time.time()), body)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                status = await self._post(body, headers)
        except TimeoutError:
            return f"no answer within {self._settings.timeout_s:g} s"
        except OSError as error:
            return str(error)[:300] or type(error).__name__
        return "" if status in _OK else f"status {status}"


def begin_s(settings: WebhookSettings, folder: Path) -> float:
    """From when Kafka is read: where it was left, less a while for clocks; from now at first."""
    kept = _kept(folder / FILE).get("at_s")
    if kept is None:
        return time.time()
    return max(float(kept) - 60.0, time.time() - settings.give_up_s)


def http_post(url: str) -> Post:
    """Posts to an address; a redirection is no success."""
    import httpx2

    client = httpx2.AsyncClient(timeout=None, follow_redirects=False)

    async def post(body: bytes, headers: Mapping[str, str]) -> int:
        try:
            answer = await client.post(url, content=body, headers=dict(headers))
        except httpx2.HTTPError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from None
        return int(answer.status_code)

    return post


def _kept(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _keep(file: Path, values: Mapping[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(values), "utf-8")
    draft.replace(file)
