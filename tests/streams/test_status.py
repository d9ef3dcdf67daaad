"""The contract of ``andon.status``: what is kept, under which key, and what counts as news."""

import json

import pytest

from streams.envelope import from_message, header_dict, to_message
from streams.status import ProcessStatus
from streams.topics import STATUS
from tests.streams.statuses import gateway_said, worker_said


@pytest.mark.parametrize("said", [gateway_said(), worker_said()], ids=["gateway", "worker"])
def test_it_is_read_back_as_it_was_said(said: ProcessStatus) -> None:
    message = to_message(said)
    assert from_message(ProcessStatus, message.value, message.headers) == said
    assert header_dict(message.headers)["ce_type"] == "andon.status.v1"


def test_each_process_has_a_key_of_its_own_that_stays_the_same() -> None:
    assert to_message(gateway_said(1)).key == to_message(gateway_said(2)).key
    assert to_message(gateway_said()).key == b"gateway/line-1/top/edge-1-ab12"
    keys = {worker_said(role).key for role in ("inspect", "classify")}
    assert len(keys) == 2


def test_two_messages_of_a_process_are_two_events() -> None:
    ids = {header_dict(to_message(gateway_said(n)).headers)["ce_id"] for n in (1, 2)}
    assert len(ids) == 2


def test_the_last_word_is_kept_for_a_week() -> None:
    assert STATUS.config["cleanup.policy"] == "compact,delete"
    assert STATUS.config["retention.ms"] == str(7 * 24 * 3_600_000)
    assert STATUS.partitions == 1, "one order over all processes: a browser's place is one number"


def test_heartbeats_are_no_news_and_everything_else_is() -> None:
    first, beat = gateway_said(1), gateway_said(2)
    assert first.gateway is not None
    assert beat.gateway is not None
    assert first.gateway.signals["PlcHeartbeat"] != beat.gateway.signals["PlcHeartbeat"]
    assert first.news == beat.news
    assert gateway_said(signals={"TriggerSeq": 42}).news != first.news
    assert gateway_said(open_parts=1).news != first.news
    assert gateway_said(policies={"tile": "other"}).news != first.news


def test_what_a_worker_counts_is_no_news_and_what_is_away_is() -> None:
    assert worker_said(events=41).news == worker_said().news
    assert worker_said(away=("expert",)).news != worker_said().news
    assert worker_said(is_ready=False).news != worker_said().news


def test_a_field_of_a_later_version_is_kept() -> None:
    message = to_message(worker_said())
    body = json.loads(message.value) | {"mood": "calm"}
    found = from_message(ProcessStatus, json.dumps(body).encode(), message.headers)
    assert (found.model_extra or {})["mood"] == "calm"
