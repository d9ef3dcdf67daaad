"""What each error of PostgreSQL and of an object store means."""

import asyncpg
import pytest
import urllib3
from minio.error import InvalidResponseError, S3Error, ServerError

from history.failures import postgres_cause, s3_cause, s3_code
from streams.failures import Cause


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("22001", Cause.INVALID),  # too long
        ("22003", Cause.INVALID),  # out of range
        ("22021", Cause.INVALID),  # a byte that is no UTF-8
        ("22P05", Cause.INVALID),  # a character that the encoding lacks
        ("23502", Cause.INVALID),
        ("23503", Cause.INVALID),
        ("23505", Cause.INVALID),
        ("23514", Cause.INVALID),
        ("P0001", Cause.INVALID),  # a trigger refuses
        ("42501", Cause.NOT_ALLOWED),
        ("54000", Cause.TOO_LARGE),
        ("08006", Cause.AWAY),
        ("57P01", Cause.AWAY),
        ("57014", Cause.AWAY),
        ("40001", Cause.BUSY),
        ("40P01", Cause.BUSY),
        ("53300", Cause.BUSY),
        ("55P03", Cause.BUSY),
        ("25006", Cause.BUSY),
        ("53100", Cause.FULL),
        ("28P01", Cause.LOGIN),
        ("28000", Cause.LOGIN),
        ("3D000", Cause.NOT_PREPARED),
        ("42P01", Cause.NOT_PREPARED),
        ("42703", Cause.NOT_PREPARED),
        ("42601", None),  # a statement that is wrong is a defect of this program
    ],
)
def test_the_cause_of_a_sqlstate(state: str, cause: Cause | None) -> None:
    error = asyncpg.PostgresError.new({"C": state, "M": "said"})
    assert postgres_cause(error) is cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (asyncpg.DataError("no value of the column's type"), Cause.INVALID),
        (ValueError("a character that is none"), Cause.INVALID),
        (asyncpg.InterfaceError("the connection is closed"), Cause.AWAY),
        (ConnectionRefusedError(), Cause.AWAY),
        (TimeoutError(), Cause.AWAY),
        (KeyError("a column"), None),
    ],
)
def test_the_cause_of_a_client_of_postgresql(error: Exception, cause: Cause | None) -> None:
    assert postgres_cause(error) is cause


def s3_error(status: int, code: str) -> S3Error:
    response = urllib3.HTTPResponse(status=status)
    return S3Error(response, code, "said", "/andon/key", None, None)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (s3_error(400, "InvalidArgument"), Cause.INVALID),
        (s3_error(400, "KeyTooLongError"), Cause.INVALID),
        (s3_error(400, "EntityTooLarge"), Cause.TOO_LARGE),
        (s3_error(400, "RequestTimeout"), Cause.AWAY),
        (s3_error(403, "AccessDenied"), Cause.NOT_ALLOWED),
        (s3_error(403, "SignatureDoesNotMatch"), Cause.LOGIN),
        (s3_error(403, "InvalidAccessKeyId"), Cause.LOGIN),
        (s3_error(403, "RequestTimeTooSkewed"), Cause.LOGIN),
        (s3_error(404, "NoSuchBucket"), Cause.NOT_PREPARED),
        (s3_error(409, "OperationAborted"), Cause.BUSY),
        (s3_error(500, "InternalError"), Cause.AWAY),
        (s3_error(503, "SlowDown"), Cause.BUSY),
        (s3_error(507, "XMinioStorageFull"), Cause.FULL),
        (ServerError("HTTP status code 413", 413), Cause.TOO_LARGE),
        (ServerError("HTTP status code 500", 500), Cause.AWAY),
        (InvalidResponseError(400, "text/html", "<h1>Bad Request</h1>"), Cause.INVALID),
        (InvalidResponseError(403, "text/html", "<h1>Forbidden</h1>"), Cause.NOT_ALLOWED),
        (InvalidResponseError(502, "text/html", "<h1>Bad Gateway</h1>"), Cause.AWAY),
        (InvalidResponseError(403, "text/xml", "<Code>InvalidAccessKeyId</Code>"), Cause.LOGIN),
        (ValueError("object name does not allow . or .. in its segments"), Cause.INVALID),
        (SyntaxError("XML that does not end"), Cause.AWAY),
        (urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("h"), "/", ""), Cause.AWAY),
        (ConnectionResetError(), Cause.AWAY),
        (TimeoutError(), Cause.AWAY),
    ],
)
def test_the_cause_of_an_object_store(error: Exception, cause: Cause) -> None:
    assert s3_cause(error) is cause


def test_a_code_is_found_where_the_client_refuses_to_parse() -> None:
    body = "<Error><Code>NoSuchKey</Code></Error>"
    assert s3_code(InvalidResponseError(404, "text/xml", body)) == "NoSuchKey"
    assert s3_code(InvalidResponseError(404, "text/html", "<h1>nothing here</h1>")) == "NotFound"
