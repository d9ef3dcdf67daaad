"""The webhook: what is told, signed, tried again, and never told twice after a restart."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from console import webhook
from console.webhook import Webhook, begin_s, message_of, topics_of
from console.webhook_settings import WebhookSettings
from streams.codes import Action, DecisionSource
from streams.envelope import to_message
from streams.events import Alert, Decision
from streams.kafka.delivery import Delivery
from streams.topics import ALERTS, DECISIONS
from tests.history import make

pytestmark = pytest.mark.asyncio
SECRET = "a secret of the receiver"
SETTINGS = WebhookSettings.model_validate({"url": "https://mes.plant/andon", "secret": SECRET})


def record(event: Decision | Alert, offset: int = 0, **change: Any) -> Delivery:
    topic = ALERTS.name if isinstance(event, Alert) else DECISIONS.name
    message = to_message(event)
    now = datetime.now(UTC).timestamp()
    fields = {"produced_s": now, **change}
    return Delivery(topic, 0, offset, message.key, message.value, message.headers, **fields)


def scrapped(number: int) -> Decision:
    return make.decision(number, DecisionSource.CLASSIFIER, Action.SCRAP, "crack")


class Receiver:
    """Answers with the statuses that a test gives, then 204; remembers what came."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.came: list[tuple[dict[str, Any], Mapping[str, str], bytes]] = []

    async def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        self.came.append((json.loads(body), headers, body))
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return answer


class OnePoll:
    """Records that come at once; ``drained`` once all of them have been dealt with."""

    def __init__(self, *records: Delivery) -> None:
        self.caught_up, self.drained = asyncio.Event(), asyncio.Event()
        self._records = list(records)

    async def follow(self) -> AsyncGenerator[list[Delivery], None]:
        yield self._records
        self.drained.set()
        await asyncio.Event().wait()


async def told(folder: Path, receiver: Receiver, *records: Delivery) -> list[str]:
    """The identities that the receiver was sent, in order."""
    reader = OnePoll(*records)
    running = asyncio.create_task(Webhook(SETTINGS, reader, receiver.post, folder).run())
    async with asyncio.timeout(20):
        await reader.drained.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return [body["id"] for body, _, _ in receiver.came]


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "backoff_s", lambda *_, **__: 0.0)


async def test_what_stopped_a_part_and_alerts_are_told_signed(tmp_path: Path) -> None:
    alert = Alert(
        alert_id=uuid4(),
        line="line-1",
        product_id="tile",
        limit="scrap",
        reason="9 of 50",
        request_stop=True,
        raised_at=datetime.now(UTC),
    )
    receiver, bad = Receiver(), scrapped(1)
    passed = record(make.decision(2), 1)
    came = await told(tmp_path, receiver, record(bad), passed, record(alert))
    assert came == [str(bad.result_id), str(alert.alert_id)]
    body, headers, raw = receiver.came[0]
    assert body["type"] == Decision.event_type
    assert body["data"]["class_name"] == "crack"
    assert "region" not in body["data"]["inspection"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@pytest.mark.usefixtures("no_pauses")
async def test_what_is_not_taken_is_tried_again_in_order(tmp_path: Path) -> None:
    receiver = Receiver(500, ConnectionError("away"), 302, 204)
    first, second = scrapped(1), scrapped(2)
    came = await told(tmp_path, receiver, record(first), record(second, 1))
    assert came == [str(first.result_id)] * 4 + [str(second.result_id)]


async def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    records = [record(scrapped(number), number) for number in range(3)]
    await told(tmp_path, Receiver(), *records[:2])
    again = await told(tmp_path, Receiver(), *records)
    assert again == [str(scrapped(2).result_id)]
    assert begin_s(SETTINGS, tmp_path) < datetime.now(UTC).timestamp()


@pytest.mark.usefixtures("no_pauses")
async def test_what_nobody_takes_for_too_long_is_passed_over(tmp_path: Path) -> None:
    old = record(scrapped(1), produced_s=1.0)
    receiver, fresh = Receiver(410), scrapped(2)
    came = await told(tmp_path, receiver, old, record(fresh, 1))
    assert came == [str(scrapped(1).result_id), str(fresh.result_id)]


async def test_late_decisions_are_not_told_and_all_where_it_is_asked() -> None:
    late = make.decision(1, DecisionSource.WATCHDOG, Action.HOLD, is_late=True)
    everything = SETTINGS.model_copy(update={"only_stopped": False})
    assert message_of(record(late), everything) is None
    assert message_of(record(make.decision(1)), everything) is not None
    assert topics_of(everything) == ["andon.decisions", "andon.alerts"]


async def test_the_settings_say_what_is_wrong() -> None:
    for given, words in (
        ({"url": "http://mes.plant/", "secret": SECRET}, "https://"),
        ({"url": "https://u:p@mes.plant/", "secret": SECRET}, "no password"),
        ({"url": "https://mes.plant/"}, "16 characters"),
        ({"events": ["birthday"]}, "decision"),
    ):
        with pytest.raises(ValidationError, match=words):
            WebhookSettings.model_validate(given)
