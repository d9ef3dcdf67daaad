"""The blob store of artifacts over S3, through the minio client."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.errors import StoreError
from serving.ray.store import ArtifactStore, split_s3


class S3Blobs:
    """Objects below ``prefix`` of one bucket. S3 writes are whole or not at all.

    Args:
        client: a ``minio.Minio``.
        bucket: is created by the stack, not here.
        prefix: empty or ending in ``/``.
    """

    def __init__(self, client: object, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix

    def get(self, key: str) -> bytes | None:
        from minio.error import InvalidResponseError, S3Error

        with self._reached(key):
            try:
                response = self._client.get_object(self._bucket, self._prefix + key)  # type: ignore[attr-defined]
            except S3Error as error:
                if error.code in {"NoSuchKey", "NoSuchObject"}:
                    return None
                raise
            except InvalidResponseError as error:
                # rclone's answer has a content type that the client does not take for XML
                if "Response code: 404" in str(error) and "NoSuchKey" in str(error):
                    return None
                raise
            try:
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()

    def put(self, key: str, body: bytes) -> None:
        with self._reached(key):
            self._client.put_object(  # type: ignore[attr-defined]
                self._bucket, self._prefix + key, io.BytesIO(body), len(body)
            )

    def keys(self, prefix: str) -> dict[str, float]:
        with self._reached(prefix or "/"):
            found = self._client.list_objects(  # type: ignore[attr-defined]
                self._bucket, prefix=self._prefix + prefix, recursive=True
            )
            return {
                str(o.object_name).removeprefix(self._prefix): o.last_modified.timestamp()
                for o in found
            }

    @contextmanager
    def _reached(self, key: str) -> Iterator[None]:
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (MinioException, HTTPError, OSError) as error:
            where = f"s3://{self._bucket}/{self._prefix}{key}"
            raise StoreError(f"{where}: {str(error)[:300]}") from error


def open_s3(
    location: str,
    cache: Path,
    *,
    endpoint: str,
    access_key: str,
    secret_key: str,
    secure: bool,
    region: str,
    timeout_s: float,
) -> ArtifactStore:
    """A store in ``s3://bucket/prefix``, cached in the folder ``cache``."""
    import urllib3
    from minio import Minio

    bucket, prefix = split_s3(location)
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(total=timeout_s), retries=urllib3.Retry(2, backoff_factor=0.2)
    )
    client = Minio(
        endpoint,
        access_key=access_key,
        secret_key=secret_key,
        secure=secure,
        region=region,
        http_client=pool,
    )
    return ArtifactStore(S3Blobs(client, bucket, prefix), cache)
