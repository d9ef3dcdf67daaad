"""What each error of a Kafka client means."""

import pytest
from aiokafka import errors as kafka

from streams.failures import Cause, PermanentError
from streams.kafka.failures import kafka_cause, kafka_failure


class _NewSizeError(kafka.MessageSizeTooLargeError):
    """A subclass that a later client may raise."""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (kafka.MessageSizeTooLargeError(), Cause.TOO_LARGE),
        (_NewSizeError(), Cause.TOO_LARGE),
        (kafka.RecordListTooLargeError(), Cause.TOO_LARGE),
        (kafka.TopicAuthorizationFailedError("andon.alerts"), Cause.NOT_ALLOWED),
        (kafka.PolicyViolationError(), Cause.INVALID),
        (kafka.InvalidTopicError(), Cause.INVALID),
        (TypeError("a header's value must be bytes"), Cause.INVALID),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "half a character"), Cause.INVALID),
        (kafka.SaslAuthenticationFailed(), Cause.LOGIN),
        (kafka.AuthenticationFailedError(), Cause.LOGIN),
        (kafka.ClusterAuthorizationFailedError(), Cause.LOGIN),
        (kafka.UnknownTopicOrPartitionError(), Cause.NOT_PREPARED),
        (kafka.KafkaStorageError(), Cause.BUSY),
        (kafka.NotEnoughReplicasError(), Cause.BUSY),
        (kafka.NotLeaderForPartitionError(), Cause.BUSY),
        (kafka.RequestTimedOutError(), Cause.AWAY),
        (kafka.KafkaConnectionError(), Cause.AWAY),
        (kafka.KafkaTimeoutError(), Cause.AWAY),
        (kafka.ProducerClosed(), Cause.AWAY),
        (kafka.OutOfOrderSequenceNumber(), Cause.AWAY),
        (kafka.UnknownError(), Cause.AWAY),
        (ConnectionResetError(), Cause.AWAY),
        (TimeoutError(), Cause.AWAY),
    ],
)
def test_the_cause_of_an_error(error: Exception, cause: Cause) -> None:
    assert kafka_cause(error) is cause


def test_an_error_says_where_and_why() -> None:
    error = kafka_failure(kafka.MessageSizeTooLargeError(), "broker:9092, andon.frames")
    assert isinstance(error, PermanentError)
    assert str(error).startswith(
        "broker:9092, andon.frames: too large: MessageSizeTooLargeError [Error 10]"
    )
