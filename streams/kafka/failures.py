"""What the errors of the Kafka clients mean: the one place where they are judged."""

import asyncio
from collections.abc import Mapping
from typing import Final

from aiokafka import errors as kafka

from streams.failures import Cause, PermanentError, TransientError, failed


class InvalidRecordError(kafka.BrokerResponseError):  # type: ignore[misc]
    """The broker refuses a record: without a key where the topic is compacted, or by its own check.

    The number is newer than aiokafka's list, which takes what it does not know for an outage.
    """

    errno = 87
    message = "INVALID_RECORD"
    description = "the topic takes no such record, as one without a key where it is compacted"


kafka.kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)
_CAUSES: Final[Mapping[type[BaseException], Cause]] = {
    kafka.MessageSizeTooLargeError: Cause.TOO_LARGE,
    kafka.RecordListTooLargeError: Cause.TOO_LARGE,
    kafka.RecordTooLargeError: Cause.TOO_LARGE,
    kafka.TopicAuthorizationFailedError: Cause.NOT_ALLOWED,
    kafka.PolicyViolationError: Cause.INVALID,
    kafka.InvalidTopicError: Cause.INVALID,
    kafka.InvalidTimestampError: Cause.INVALID,
    InvalidRecordError: Cause.INVALID,
    kafka.UnsupportedForMessageFormatError: Cause.INVALID,
    kafka.CorruptRecordException: Cause.BUSY,  # damaged on the way
    kafka.UnknownTopicOrPartitionError: Cause.NOT_PREPARED,
    kafka.KafkaStorageError: Cause.BUSY,  # of one partition's disk; the others' say nothing
    kafka.QuotaViolationError: Cause.BUSY,
    kafka.NotEnoughReplicasError: Cause.BUSY,
    kafka.NotEnoughReplicasAfterAppendError: Cause.BUSY,
    kafka.LeaderNotAvailableError: Cause.BUSY,
    kafka.NotLeaderForPartitionError: Cause.BUSY,
    kafka.ReplicaNotAvailableError: Cause.BUSY,
    kafka.NotControllerError: Cause.BUSY,
    kafka.AuthenticationFailedError: Cause.LOGIN,
    kafka.AuthenticationMethodNotSupported: Cause.LOGIN,
    kafka.SaslAuthenticationFailed: Cause.LOGIN,
    kafka.UnsupportedSaslMechanismError: Cause.LOGIN,
    kafka.IllegalSaslStateError: Cause.LOGIN,
    kafka.SecurityDisabled: Cause.LOGIN,
    kafka.GroupAuthorizationFailedError: Cause.LOGIN,
    kafka.ClusterAuthorizationFailedError: Cause.LOGIN,
    kafka.TransactionalIdAuthorizationFailed: Cause.LOGIN,
}
"""Rights on the cluster and on a group are the client's, as its login is: no message is at fault.
"""
_HOLES: Final = (kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId)
"""The broker did not take a batch for its number's sake."""


def kafka_cause(error: BaseException) -> Cause:
    """Why a client of the broker failed.

    What is not known is no reason to lose a message: it counts as an outage.
    """
    for kind in type(error).__mro__:
        if kind in _CAUSES:
            return _CAUSES[kind]
    if isinstance(error, TypeError | ValueError):
        return Cause.INVALID  # the client could not even write it: a header or key of a wrong type
    return Cause.AWAY


def is_of_its_batch(error: BaseException) -> bool:
    """Whether the broker may mean another record that travelled in the same batch.

    It says so of a size and of a form, and of what it calls unknown nobody knows. A hole in the
    numbers of an idempotent producer is left by a batch before. A missing right is the topic's,
    whoever is beside.
    """
    if type(error) is kafka.UnknownError or isinstance(error, _HOLES):
        return True
    return kafka_cause(error) in (Cause.TOO_LARGE, Cause.INVALID)


def kafka_failure(error: BaseException, where: str) -> TransientError | PermanentError:
    """The error as a typed one. ``where`` says which broker or topic did not take it."""
    cause = kafka_cause(error)
    said = "" if isinstance(error, asyncio.CancelledError) else f" {error}".rstrip()
    return failed(cause, f"{where}: {cause.value}: {type(error).__name__}{said}")
