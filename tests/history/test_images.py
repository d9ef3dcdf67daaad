"""The image store's contract, over S3, MinIO and the twin; then what only a real store can do."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from history.images import InMemoryImageStore, MinioImageStore
from infra.stack.process import free_port
from infra.stack.s3_local import LocalS3, start_s3
from streams.errors import UnavailableError
from streams.keys import image_key, mask_key
from streams.ports import ImageStore
from tests.history import make

_BUCKETS = count()


def minio_store(server: LocalS3, bucket: str = "", timeout_s: float = 5.0) -> MinioImageStore:
    return MinioImageStore(
        server.endpoint,
        server.access_key,
        server.secret_key,
        bucket=bucket or f"history-{next(_BUCKETS)}",
        timeout_s=timeout_s,
    )


@pytest_asyncio.fixture(params=["memory", "s3", pytest.param("minio", marks=pytest.mark.slow)])
async def store(
    request: pytest.FixtureRequest,
) -> AsyncIterator[InMemoryImageStore | MinioImageStore]:
    made: InMemoryImageStore | MinioImageStore = InMemoryImageStore()
    if request.param != "memory":
        made = minio_store(request.getfixturevalue(request.param))
    yield made
    await made.close()


@pytest.mark.asyncio
async def test_contract_what_is_put_is_got(store: ImageStore) -> None:
    assert isinstance(store, ImageStore)
    big = bytes(range(256)) * (12 << 12)  # 12 MiB: more than Kafka carries inline
    for key, body in (("a/image", b"\x00\xffpixels"), ("a/empty", b""), ("big", big)):
        await store.put(key, body, "image/png")
        assert await store.get(key) == body
        assert await store.exists(key)


@pytest.mark.asyncio
async def test_contract_put_again_replaces(store: ImageStore) -> None:
    await store.put("a/b", b"first", "image/png")
    await store.put("a/b", b"second", "image/jpeg")
    assert await store.get("a/b") == b"second"


@pytest.mark.asyncio
async def test_contract_what_is_absent_is_a_key_error(store: ImageStore) -> None:
    with pytest.raises(KeyError, match="nothing/here"):
        await store.get("nothing/here")
    assert not await store.exists("nothing/here")
    await store.put("a/b", b"x", "image/png")
    with pytest.raises(KeyError, match="a/c"):
        await store.get("a/c")
    assert not await store.exists("a/c")


@pytest.mark.asyncio
async def test_contract_keys_by_prefix(store: InMemoryImageStore | MinioImageStore) -> None:
    assert await store.keys("inspections/") == []
    made = sorted(key(make.frame_id(n)) for n in range(3) for key in (image_key, mask_key))
    for key in made:
        await store.put(key, b"x", "image/png")
    await store.put("dead/1", b"x", "text/plain")
    assert await store.keys("inspections/") == made


@pytest.mark.asyncio
async def test_contract_many_at_once(store: ImageStore) -> None:
    await asyncio.gather(*(store.put(f"n/{n}", b"%d" % n, "image/png") for n in range(50)))
    assert await asyncio.gather(*(store.get(f"n/{n}") for n in range(50))) == [
        b"%d" % n for n in range(50)
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["image/png\r\nx-evil: 1", "", "изображение/png", "a" * 400])
async def test_contract_a_hostile_content_type_is_no_header(store: ImageStore, kind: str) -> None:
    await store.put("a", b"x", kind)
    assert await store.get("a") == b"x"


@pytest.mark.asyncio
async def test_a_bucket_removed_behind_our_back_is_made_again(s3: LocalS3) -> None:
    store, other = minio_store(s3), None
    await store.put("a", b"1", "image/png")
    await store._call("t", lambda: store._client.remove_object(store._bucket, "a"))
    await store._call("t", lambda: store._client.remove_bucket(store._bucket))
    await store.put("a", b"2", "image/png")
    assert await store.get("a") == b"2"
    other = minio_store(s3, store._bucket)
    await other.ensure_bucket()
    assert await other.exists("a")
    await store.close()
    await other.close()


@pytest.mark.asyncio
async def test_a_store_that_is_down_is_unavailable_in_time_and_then_works(scratch: Path) -> None:
    server = start_s3(scratch / "s3")
    store = minio_store(server, "plant", timeout_s=2.0)
    await store.put("a", b"x", "image/png")
    server.kill()
    for call in (store.put("b", b"y", "image/png"), store.get("a"), store.exists("a")):
        with pytest.raises(UnavailableError, match=server.endpoint):
            async with asyncio.timeout(3.0):
                await call
    with start_s3(scratch / "s3", server.port):
        await store.put("b", b"y", "image/png")
        assert await store.get("a") == b"x"
        await store.close()


@pytest.mark.asyncio
async def test_a_store_that_accepts_and_never_answers_is_unavailable_in_time() -> None:
    port = free_port()
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, w: held.append(w), "127.0.0.1", port)
    store = MinioImageStore(f"127.0.0.1:{port}", "a", "b", timeout_s=1.0)
    with pytest.raises(UnavailableError):
        async with asyncio.timeout(2.0):
            await store.get("a")
    await store.close()
    silent.close()
    for writer in held:
        writer.close()


@pytest.mark.asyncio
async def test_a_wrong_secret_is_unavailable_and_not_shown(s3: LocalS3) -> None:
    store = MinioImageStore(s3.endpoint, s3.access_key, "wrong-secret", timeout_s=2.0)
    with pytest.raises(UnavailableError) as caught:
        await store.put("a", b"x", "image/png")
    assert "wrong-secret" not in str(caught.value)
    await store.close()
