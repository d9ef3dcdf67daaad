"""What the errors of PostgreSQL and of the object store mean: the one place for each."""

import re
from collections.abc import Mapping
from typing import Final

import asyncpg
import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from streams.failures import Cause

# --- PostgreSQL, by SQLSTATE ------------------------------------------------------------------

_SQLSTATES: Final[Mapping[str, Cause]] = {
    "08": Cause.AWAY,  # connection exception
    "22": Cause.INVALID,  # data exception: too long, out of range, invalid encoding
    "23": Cause.INVALID,  # a constraint
    "25": Cause.BUSY,  # invalid transaction state, as on a standby that only reads
    "28": Cause.LOGIN,
    "3D": Cause.NOT_PREPARED,  # no such database
    "3F": Cause.NOT_PREPARED,  # no such schema
    "40": Cause.BUSY,  # rolled back: deadlock, serialization
    "42501": Cause.NOT_ALLOWED,
    "42P01": Cause.NOT_PREPARED,  # no such table
    "42703": Cause.NOT_PREPARED,  # no such column
    "42883": Cause.NOT_PREPARED,  # no such function
    "53": Cause.BUSY,  # too many connections
    "53100": Cause.FULL,  # disk full
    "53200": Cause.FULL,  # out of memory
    "54": Cause.TOO_LARGE,  # program limit exceeded, as an index row of over 8 KiB
    "55": Cause.BUSY,  # a lock
    "57": Cause.AWAY,  # shut down, cancelled, statement time-out
    "58": Cause.AWAY,  # system error
    "P0": Cause.INVALID,  # raised by a trigger of the history
    "XX": Cause.AWAY,  # internal error, damaged data
}
"""By code, else by its class, which are the first two characters."""


def sqlstate_cause(state: str) -> Cause | None:
    """What a SQLSTATE says; None for what no statement of ours can lead to.

    >>> sqlstate_cause("23505"), sqlstate_cause("40P01"), sqlstate_cause("53100")
    (<Cause.INVALID: 'invalid'>, <Cause.BUSY: 'busy'>, <Cause.FULL: 'full'>)
    """
    return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2])


def postgres_cause(error: BaseException) -> Cause | None:
    """Why PostgreSQL, or asyncpg before it, did not do a statement; None for what nobody knows."""
    if found := sqlstate_cause(str(getattr(error, "sqlstate", "") or "")):
        return found
    if isinstance(error, ValueError):  # asyncpg's DataError too: no value of the column's type
        return Cause.INVALID
    if isinstance(error, asyncpg.InterfaceError | OSError | TimeoutError):
        return Cause.AWAY
    return None


# --- The object store, by S3's code and HTTP's status --------------------------------------------

ABSENT: Final = ("NoSuchKey", "NoSuchBucket", "NoSuchObject", "NotFound")
"""Codes of what is not there: an answer, no failure."""
_S3_CODES: Final[Mapping[str, Cause]] = {
    "NoSuchBucket": Cause.NOT_PREPARED,
    "AccessDenied": Cause.NOT_ALLOWED,
    "AllAccessDisabled": Cause.LOGIN,
    "AccountProblem": Cause.LOGIN,
    "InvalidAccessKeyId": Cause.LOGIN,
    "InvalidToken": Cause.LOGIN,
    "ExpiredToken": Cause.LOGIN,
    "SignatureDoesNotMatch": Cause.LOGIN,
    "RequestTimeTooSkewed": Cause.LOGIN,
    "AuthorizationHeaderMalformed": Cause.LOGIN,
    "EntityTooLarge": Cause.TOO_LARGE,
    "XMinioStorageFull": Cause.FULL,
    "QuotaExceeded": Cause.FULL,
    "XMinioAdminBucketQuotaExceeded": Cause.FULL,
    "RequestTimeout": Cause.AWAY,
    "IncompleteBody": Cause.AWAY,
    "BadDigest": Cause.AWAY,  # damaged on the way
    "SlowDown": Cause.BUSY,
    "SlowDownWrite": Cause.BUSY,
    "OperationAborted": Cause.BUSY,
    "Throttling": Cause.BUSY,
}
_STATUSES: Final[Mapping[int, Cause]] = {
    401: Cause.LOGIN,
    403: Cause.NOT_ALLOWED,
    404: Cause.NOT_PREPARED,
    408: Cause.AWAY,
    409: Cause.BUSY,
    411: Cause.INVALID,
    413: Cause.TOO_LARGE,
    425: Cause.BUSY,
    429: Cause.BUSY,
    507: Cause.FULL,
}
_CODE_IN_TEXT: Final = re.compile(r"<Code>(\w+)<")


def s3_code(error: BaseException) -> str:
    """S3's error code, also from a server whose ``text/xml`` the client refuses to parse."""
    if isinstance(error, S3Error):
        return str(error.code)
    found = _CODE_IN_TEXT.search(str(error)) if isinstance(error, InvalidResponseError) else None
    if found is not None:
        return found[1]
    return "NotFound" if http_status(error) == 404 else ""


def http_status(error: BaseException) -> int:
    """HTTP's status of the server's answer; 0 without one."""
    if isinstance(error, S3Error):
        return int(getattr(error.response, "status", 0) or 0)
    if isinstance(error, ServerError):
        return int(error.status_code)
    if isinstance(error, InvalidResponseError):
        found = re.search(r"Response code: (\d+)", str(error))
        return int(found[1]) if found else 0
    return 0


def s3_code_cause(code: str) -> Cause:
    """Why the object store left out one object of several that it was asked to remove.

    >>> s3_code_cause("AccessDenied")
    <Cause.NOT_ALLOWED: 'not allowed'>
    """
    return _S3_CODES.get(code, Cause.AWAY)


def s3_cause(error: BaseException) -> Cause:
    """Why the object store did not do what it was asked.

    A code that is not known counts by its status: one that blames the request (4xx) is permanent,
    any other an outage.
    """
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return Cause.AWAY
    if found := _S3_CODES.get(s3_code(error)):
        return found
    status = http_status(error)
    if found := _STATUSES.get(status):
        return found
    if 400 <= status < 500:
        return Cause.INVALID
    if isinstance(error, ValueError | TypeError) and not isinstance(error, MinioException):
        return Cause.INVALID  # the client could not even ask: a key that no URL can hold
    return Cause.AWAY
