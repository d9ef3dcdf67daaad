"""What the errors of the Kafka clients mean: the one place where they are judged."""

import asyncio
from collections.abc import Mapping
from typing import Final

from aiokafka import errors as kafka

from streams.failures import Cause, PermanentError, TransientError, failed

_CAUSES: Final[Mapping[type[BaseException], Cause]] = {
    kafka.MessageSizeTooLargeError: Cause.TOO_LARGE,
    kafka.RecordListTooLargeError: Cause.TOO_LARGE,
    kafka.RecordTooLargeError: Cause.TOO_LARGE,
    kafka.TopicAuthorizationFailedError: Cause.NOT_ALLOWED,
    kafka.PolicyViolationError: Cause.INVALID,
    kafka.InvalidTopicError: Cause.INVALID,
    kafka.InvalidTimestampError: Cause.INVALID,
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


def kafka_failure(error: BaseException, where: str) -> TransientError | PermanentError:
    """The error as a typed one. ``where`` says which broker or topic did not take it."""
    cause = kafka_cause(error)
    said = "" if isinstance(error, asyncio.CancelledError) else f" {error}".rstrip()
    return failed(cause, f"{where}: {cause.value}: {type(error).__name__}{said}")
