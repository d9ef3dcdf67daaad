"""The contract of ``streams.ports.ImageStore``: the twin, embedded S3 and MinIO keep it."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from history.object_store import S3ImageStore, S3Objects
from streams.failures import PermanentError
from streams.ids import image_key, mask_key
from streams.ports import ImageStore
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history import make

_BUCKETS = count()


@pytest_asyncio.fixture(params=["memory", "s3", pytest.param("minio", marks=pytest.mark.slow)])
async def store(
    request: pytest.FixtureRequest,
) -> AsyncIterator[InMemoryImageStore | S3ImageStore]:
    made: InMemoryImageStore | S3ImageStore = InMemoryImageStore()
    if request.param != "memory":
        server = request.getfixturevalue(request.param)
        bucket = f"images-{next(_BUCKETS)}"
        made = S3ImageStore(
            S3Objects(server.endpoint, server.access_key, server.secret_key, bucket=bucket)
        )
    yield made
    await made.close()


@pytest.mark.asyncio
async def test_what_is_put_is_got(store: ImageStore) -> None:
    assert isinstance(store, ImageStore)
    big = bytes(range(256)) * (12 << 12)  # 12 MiB: more than Kafka carries inline
    for key, body in (("a/image", b"\x00\xffpixels"), ("a/empty", b""), ("big", big)):
        await store.put(key, body, "image/png")
        assert await store.get(key) == body
        assert await store.exists(key)


@pytest.mark.asyncio
async def test_no_more_is_read_than_asked_for(store: ImageStore) -> None:
    await store.put("a", b"12345", "image/png")
    assert await store.get("a", at_most=5) == b"12345"
    with pytest.raises(PermanentError, match="more than"):
        await store.get("a", at_most=4)
    assert await store.get("a") == b"12345"  # the connection is sound after that


@pytest.mark.asyncio
async def test_put_again_replaces(store: ImageStore) -> None:
    await store.put("a/b", b"first", "image/png")
    await store.put("a/b", b"second", "image/jpeg")
    assert await store.get("a/b") == b"second"


@pytest.mark.asyncio
async def test_what_is_absent_is_a_key_error(store: ImageStore) -> None:
    with pytest.raises(KeyError, match="nothing/here"):
        await store.get("nothing/here")
    assert not await store.exists("nothing/here")
    await store.put("a/b", b"x", "image/png")
    with pytest.raises(KeyError, match="a/c"):
        await store.get("a/c")
    assert not await store.exists("a/c")


@pytest.mark.asyncio
async def test_keys_by_prefix(store: InMemoryImageStore | S3ImageStore) -> None:
    assert await store.keys("inspections/") == []
    made = sorted(key(make.frame_id(n)) for n in range(3) for key in (image_key, mask_key))
    for key in made:
        await store.put(key, b"x", "image/png")
    await store.put("dead/1", b"x", "text/plain")
    assert await store.keys("inspections/") == made


@pytest.mark.asyncio
async def test_many_at_once(store: ImageStore) -> None:
    await asyncio.gather(*(store.put(f"n/{n}", b"%d" % n, "image/png") for n in range(50)))
    assert await asyncio.gather(*(store.get(f"n/{n}") for n in range(50))) == [
        b"%d" % n for n in range(50)
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["image/png\r\nx-evil: 1", "", "изображение/png", "a" * 400])
async def test_a_hostile_content_type_is_no_header(store: ImageStore, kind: str) -> None:
    await store.put("a", b"x", kind)
    assert await store.get("a") == b"x"
