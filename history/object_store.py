"""The one S3 client of the line: pictures for the roles, bundles for serving."""

import asyncio
import io
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import MinioException

from history.failures import ABSENT, s3_cause, s3_code, s3_code_cause
from streams.failures import Cause, PermanentError, TransientError, failed
from streams.ports import MAX_OBJECT_BYTES

T = TypeVar("T")
_MADE_BY_ANOTHER = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
_UNKNOWN_CA: Final = (2, 7, 18, 19, 20, 21)
"""OpenSSL's codes of a certificate that nobody known has signed."""


class S3Objects:
    """Objects below ``prefix`` of one bucket of MinIO or any S3. Every call blocks.

    Every method raises ``TransientError``, an ``UnavailableError``, when the server does not answer
    in time or may do it another time, and ``PermanentError`` when it refuses for good. S3 writes an
    object whole or not at all.

    Args:
        endpoint: host:port, without a scheme.
        access_key: who we are.
        secret_key: its secret.
        secure: whether to use TLS.
        region: must be set against servers other than AWS.
        bucket: is created when the first object is put and it is absent.
        prefix: empty, or ending in ``/``; the keys of all methods are relative to it.
        timeout_s: seconds for one request, its one retry included.
        connections: most connections that are kept open.
    """

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        *,
        secure: bool = False,
        region: str = "us-east-1",
        bucket: str = "andon",
        prefix: str = "",
        timeout_s: float = 10.0,
        connections: int = 8,
    ) -> None:
        self.timeout_s, self.connections = timeout_s, connections
        self._endpoint, self._bucket, self._prefix = endpoint, bucket, prefix
        self._http = urllib3.PoolManager(
            maxsize=connections,
            timeout=urllib3.Timeout(connect=min(2.0, timeout_s / 2), read=timeout_s / 2),
            retries=urllib3.Retry(
                total=1, backoff_factor=0.1, status_forcelist=(500, 502, 503, 504)
            ),
        )
        self._client = Minio(
            endpoint,
            access_key=access_key,
            secret_key=secret_key,
            secure=secure,
            region=region,
            http_client=self._http,
        )

    def __str__(self) -> str:
        return f"{self._endpoint}, bucket {self._bucket}"

    def has_bucket(self) -> bool:
        """Whether the bucket is there."""
        with self._reached("looking for the bucket of"):
            return bool(self._client.bucket_exists(self._bucket))

    def ensure_bucket(self) -> None:
        """Create the bucket unless it is there."""
        if self.has_bucket():
            return
        with self._reached("creating the bucket of"):
            try:
                self._client.make_bucket(self._bucket)
            except MinioException as error:
                if s3_code(error) not in _MADE_BY_ANOTHER:
                    raise

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        """Store; the same key again is replaced."""
        try:
            self._put(key, body, content_type)
            return
        except KeyError:  # there is no bucket yet, or it was removed
            absent = "though it was made"
            try:
                self.ensure_bucket()
            except PermanentError:  # no fault of this object: all wait for whoever may make it
                absent = "and this key may not make one: its administrator does"
        try:
            self._put(key, body, content_type)
        except KeyError as error:
            said = OSError(f"there is no such bucket, {absent}")
            raise self.failure("storing", key, said, Cause.NOT_PREPARED) from error

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        kind, size = _header(content_type), len(body)
        with self._reached("storing", key):
            self._client.put_object(
                self._bucket, self._prefix + key, io.BytesIO(body), size, content_type=kind
            )

    def get(self, key: str, at_most: int | None = None) -> bytes | None:
        """The object's bytes; None where there is none.

        Raises:
            PermanentError: it has more than ``at_most`` bytes; no more of them are read.
        """
        found = self.read(key, at_most)
        return None if found is None else found[0]

    def read(self, key: str, at_most: int | None = None) -> tuple[bytes, str] | None:
        """The object's bytes and its content type; as ``get``."""
        try:
            with self._reached("reading", key):
                reply = self._client.get_object(self._bucket, self._prefix + key)
                try:
                    body = bytes(reply.read(None if at_most is None else at_most + 1))
                    content_type = str(reply.headers.get("Content-Type", ""))
                finally:
                    reply.close()
                    reply.release_conn()
        except KeyError:
            return None
        if at_most is not None and len(body) > at_most:
            where = f"s3://{self._bucket}/{self._prefix}{key}"
            said = f"{where} has more than the {at_most} bytes that are read of it"
            raise PermanentError(Cause.TOO_LARGE, said)
        return body, content_type

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        try:
            with self._reached("looking for", key):
                self._client.stat_object(self._bucket, self._prefix + key)
        except KeyError:
            return False
        return True

    def keys(self, prefix: str) -> dict[str, float]:
        """Every key that begins with ``prefix``, with the time of writing in Unix seconds."""
        try:
            with self._reached("listing", prefix):
                found = self._client.list_objects(
                    self._bucket, prefix=self._prefix + prefix, recursive=True
                )
                return {
                    str(item.object_name).removeprefix(self._prefix): item.last_modified.timestamp()
                    for item in found
                }
        except KeyError:
            return {}

    def folders(self, prefix: str) -> list[str]:
        """The prefixes one ``/`` below ``prefix``, which ends in one, sorted."""
        try:
            with self._reached("listing", prefix):
                found = self._client.list_objects(self._bucket, prefix=self._prefix + prefix)
                names = [str(item.object_name).removeprefix(self._prefix) for item in found]
        except KeyError:
            return []
        return sorted(name for name in names if name.endswith("/") and name != prefix)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are absent count as removed.

        Raises:
            PermanentError: the store refuses one of them.
        """
        with self._reached("removing", keys[0] if keys else ""):
            wanted = (DeleteObject(self._prefix + key) for key in keys)
            refused = list(self._client.remove_objects(self._bucket, wanted))
        for error in refused:
            said = OSError(f"{error.code}: {error.message}")
            key = str(error.name).removeprefix(self._prefix)
            raise self.failure("removing", key, said, s3_code_cause(str(error.code)))

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def failure(
        self, doing: str, key: str, error: Exception, cause: Cause
    ) -> TransientError | PermanentError:
        """The error that says what was tried, where, and why it failed."""
        plain = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        said = _untrusted(error) or plain
        where = f"s3://{self._bucket}/{self._prefix}{key}"
        verb = "refused" if cause.is_permanent else "failed while"
        if cause is Cause.NOT_ALLOWED:
            said += "; `andon history grant --objects DIR` has the rights that each key needs"
        return failed(cause, f"the object store {self._endpoint} {verb} {doing} {where}: {said}")

    @contextmanager
    def _reached(self, doing: str, key: str = "") -> Iterator[None]:
        """Raises ``KeyError`` for what is absent, a typed failure for all else."""
        try:
            yield
        except KeyError:
            raise
        except Exception as error:
            if isinstance(error, MinioException) and s3_code(error) in ABSENT:
                raise KeyError(key) from None
            raise self.failure(doing, key, error, s3_cause(error)) from error


class S3ImageStore:
    """``streams.ports.ImageStore`` over S3. The client blocks, so its calls run in threads.

    A call that finds every thread busy waits its turn within its own deadline.
    """

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects
        self._threads = ThreadPoolExecutor(objects.connections, thread_name_prefix="s3")

    async def ensure_bucket(self) -> None:
        """Create the bucket unless it is there. Raises ``UnavailableError``."""
        await self._call("creating the bucket of", "", self._objects.ensure_bucket)

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        """Store; the same key again is replaced. Raises ``UnavailableError``."""
        await self._call("storing", key, lambda: self._objects.put(key, body, content_type))

    async def get(self, key: str, at_most: int = MAX_OBJECT_BYTES) -> bytes:
        """The object's bytes. Raises ``KeyError`` when absent, ``UnavailableError``, and
        ``PermanentError`` when it has more than ``at_most`` bytes."""
        body = await self._call("reading", key, lambda: self._objects.get(key, at_most))
        if body is None:
            raise KeyError(key)
        return body

    async def exists(self, key: str) -> bool:
        """Whether the object is there. Raises ``UnavailableError``."""
        return await self._call("looking for", key, lambda: self._objects.exists(key))

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with ``prefix``, sorted. Raises ``UnavailableError``."""
        return sorted(await self._call("listing", prefix, lambda: self._objects.keys(prefix)))

    async def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._objects.close()

    async def _call(self, doing: str, key: str, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._objects.timeout_s):
                return await loop.run_in_executor(self._threads, work)
        except TimeoutError as error:
            raise self._objects.failure(doing, key, error, Cause.AWAY) from error


def _header(content_type: str) -> str:
    """A header value: printable ASCII only, whatever an event said."""
    kept = "".join(c for c in content_type if " " <= c <= "~").strip()
    return kept or "application/octet-stream"


def _untrusted(error: Exception) -> str:
    """What is wrong with the server's certificate, where that is why there was no answer."""
    reason = getattr(error, "reason", None)  # of urllib3's MaxRetryError
    cause = reason.args[0] if isinstance(reason, urllib3.exceptions.SSLError) else None
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return ""
    said = f"its certificate is not trusted: {cause.verify_message}"
    if cause.verify_code in _UNKNOWN_CA:
        said += "; name the PEM file of the authority that signed it in SSL_CERT_FILE"
    return said
