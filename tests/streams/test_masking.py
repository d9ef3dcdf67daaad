"""One rule says what must not be read."""

import io
import logging
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codes import ReasonCode, Stage
from streams.envelope import from_message
from streams.events import DeadLetter
from streams.kafka.delivery import Delivery, dead_letter
from streams.masking import masked, masking_logger
from streams.ports import Failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)

SECRETS = [
    "rtsp://operator:hunter2@10.0.0.7:554/live",
    "rtsp://operator:hunter2@h@10.0.0.7/live",
    "opencv:rtsp://operator:hunter2@camera",
    "rtsps://:hunter2@camera/1",
    "rtsp://camera/live?user=admin&password=hunter2",
    "http://camera/mjpg?user=a&pwd=hunter2&x=1",
    "postgresql+asyncpg://andon:hunter2@db:5432/andon",
    "postgresql://andon:hunter2/with#signs@db/andon",
    "could not connect to amqp://u:hunter2@mq",
    "opc.tcp://user:hunter2@plc:4840",
    "https://hunter2hunter2@github.com/x",
    "https://llm/v1?api-key=hunter2",
    "https://llm/v1?key=hunter2",
    "https://blob/x?sig=hunter2&se=1",
    "Authorization: Bearer hunter2hunter2",
    "authorization: Basic aHVudGVyMg==hunter2",
    "password=hunter2 host=db",
    "{'secret_key': 'hunter2'}",
    '{"api_key": "hunter2"}',
    "ANDON_S3__SECRET_KEY=hunter2",
    "aws_secret_access_key = hunter2",
    "client_secret: hunter2",
    "AccountKey=hunter2;EndpointSuffix=x",
    "access_token=hunter2&x",
    "Incorrect API key provided: sk-proj-hunter2hunter2",
    "hf_hunter2hunter2",
    "ghp_hunter2hunter2",
    "token eyJhbGciOiJIUzI1.hunter2aaa.hunter2",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_not_shown(text: str) -> None:
    assert "hunter2" not in masked(text)
    assert masked(masked(text)) == masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "pass: 97 %, rework: 3",
        "action=pass key=line1/station",
        "tokens_in=765 max_tokens: 64",
        "http://127.0.0.1:8080/a@b",
        "s3://bucket/prefix",
        "kafka at broker1:9092,broker2:9092",
        "ANDON_SERVE__TOKEN_FILE=/run/ray_token",
        "part 6ES7 155-6AU01-0BN0 at 2026-11-28T21:28:00Z",
        "opc.tcp://plc:4840/andon",
        "skip-connections of the risk-model",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert masked(text) == text


@given(st.text(max_size=200))
def test_any_text_is_masked(text: str) -> None:
    assert masked(masked(text)) == masked(text)


URL = "rtsp://operator:hunter2@10.0.0.7/live"


def test_a_masking_logger_hides_arguments_and_exceptions_from_every_handler() -> None:
    log, stream = masking_logger("tests.of.masking"), io.StringIO()
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    try:
        log.warning("%s does not answer after %d s", URL, 3)
        try:
            raise OSError(f"cannot open {URL}")
        except OSError:
            log.exception("a call failed")
    finally:
        log.removeHandler(handler)
    written = stream.getvalue()
    assert "operator:***@10.0.0.7/live does not answer after 3 s" in written
    assert "OSError: cannot open rtsp://operator:***@" in written
    assert "hunter2" not in written
    assert len(masking_logger("tests.of.masking").filters) == 1


def test_what_failed_is_told_without_its_secrets() -> None:
    """The message of a failure goes on into reasons, the history and dead letters."""
    failure = Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, "Refused", f"no way to {URL}")
    assert failure.message == "no way to rtsp://operator:***@10.0.0.7/live"
    letter = dead_letter(
        Delivery("t", 0, 1, b"", b"", ()), Stage.RECORD, "OSError", f"no way to {URL}", NOW
    )
    shown = from_message(DeadLetter, letter.value, letter.headers)
    assert shown.error == "no way to rtsp://operator:***@10.0.0.7/live"
