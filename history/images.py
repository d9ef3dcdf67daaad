"""Pictures in an object store: MinIO or any S3, and the in-memory twin of its contract."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from streams.errors import UnavailableError

T = TypeVar("T")
_ABSENT = ("NoSuchKey", "NoSuchBucket", "NoSuchObject", "NotFound")
_OURS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


class MinioImageStore:
    """``streams.ports.ImageStore`` over S3. The client blocks, so its calls run in threads."""

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        secure: bool = False,
        region: str = "us-east-1",
        bucket: str = "andon",
        timeout_s: float = 10.0,
        concurrency: int = 8,
    ) -> None:
        """Nothing is opened yet.

        Args:
            endpoint: host:port, without a scheme.
            access_key: who we are.
            secret_key: its secret.
            secure: TLS.
            region: must be set against servers other than AWS.
            bucket: created on first use when absent.
            timeout_s: seconds for one call, its one retry included.
            concurrency: most calls at once; more wait their turn within their deadline.
        """
        self._bucket, self._timeout_s, self._where = bucket, timeout_s, endpoint
        self._http = urllib3.PoolManager(
            maxsize=concurrency,
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
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="s3")
        self._bucket_known = False

    async def ensure_bucket(self) -> None:
        """Create the bucket unless it is there. Raises ``UnavailableError``."""
        await self._call("creating the bucket", self._make_bucket)
        self._bucket_known = True

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        """Store; the same key again is replaced. Raises ``UnavailableError``."""
        if not self._bucket_known:
            await self.ensure_bucket()

        def send() -> None:
            self._client.put_object(
                self._bucket, key, io.BytesIO(body), len(body), content_type=_header(content_type)
            )

        try:
            await self._call(f"storing {key}", send)
        except KeyError:  # the bucket was removed behind our back
            await self.ensure_bucket()
            await self._call(f"storing {key}", send)

    async def get(self, key: str) -> bytes:
        """The object's bytes. Raises ``KeyError`` when absent, ``UnavailableError``."""

        def fetch() -> bytes:
            reply = self._client.get_object(self._bucket, key)
            try:
                return bytes(reply.data)
            finally:
                reply.close()
                reply.release_conn()

        return await self._call(f"reading {key}", fetch, key)

    async def exists(self, key: str) -> bool:
        """Whether the object is there. Raises ``UnavailableError``."""
        try:
            await self._call(
                f"looking for {key}", lambda: self._client.stat_object(self._bucket, key), key
            )
        except KeyError:
            return False
        return True

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with ``prefix``, sorted. Raises ``UnavailableError``."""

        def walk() -> list[str]:
            found = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
            return sorted(str(item.object_name) for item in found)

        try:
            return await self._call(f"listing {prefix}", walk)
        except KeyError:
            return []

    async def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    def _make_bucket(self) -> None:
        if self._client.bucket_exists(self._bucket):
            return
        try:
            self._client.make_bucket(self._bucket)
        except MinioException as error:
            if _code(error) not in _OURS:
                raise

    async def _call(self, doing: str, work: Callable[[], T], key: str = "") -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await loop.run_in_executor(self._threads, work)
        except MinioException as error:
            if _code(error) in _ABSENT:
                raise KeyError(key or self._bucket) from None
            raise self._unavailable(doing, error) from error
        except (urllib3.exceptions.HTTPError, OSError, TimeoutError) as error:
            raise self._unavailable(doing, error) from error

    def _unavailable(self, doing: str, error: Exception) -> UnavailableError:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        return UnavailableError(
            f"the object store {self._where} (bucket {self._bucket!r}) failed while {doing}: {said}"
        )


class InMemoryImageStore:
    """The twin: a dictionary under the same contract."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        """Store; the same key again is replaced."""
        self.objects[key] = (bytes(body), content_type)

    async def get(self, key: str) -> bytes:
        """The object's bytes. Raises ``KeyError`` when absent."""
        return self.objects[key][0]

    async def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return key in self.objects

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with ``prefix``, sorted."""
        return sorted(key for key in self.objects if key.startswith(prefix))

    async def close(self) -> None:
        """Nothing to let go of."""


def _code(error: MinioException) -> str:
    """S3's error code, also from servers that say ``text/xml``, which the client refuses."""
    if isinstance(error, S3Error):
        return str(error.code)
    if isinstance(error, InvalidResponseError):
        return next((code for code in (*_ABSENT, *_OURS) if f"<Code>{code}<" in str(error)), "")
    if isinstance(error, ServerError):
        return "NotFound" if error.status_code == 404 else ""
    return ""


def _header(content_type: str) -> Any:
    """A header value: printable ASCII only, whatever an event said."""
    kept = "".join(c for c in content_type if " " <= c <= "~").strip()
    return kept or "application/octet-stream"
