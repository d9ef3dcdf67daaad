"""Pictures as pages ask for them."""

import pytest

from console.app import build_app
from streams.ids import image_key
from tests.console.make import client_of, parts_of
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history import make

pytestmark = pytest.mark.asyncio


async def test_a_picture_that_is_not_kept_is_no_error_of_the_browser() -> None:
    store = InMemoryImageStore()
    await store.put(image_key(make.frame_id(1)), b"BM no picture", "image/bmp")
    async with client_of(build_app(parts_of(store=store))) as client:
        for size in ("small", "large", "full"):
            gone = await client.get(f"/pictures/{make.frame_id(2)}/{size}")
            assert (gone.status_code, gone.content) == (204, b"")
            assert gone.headers["cache-control"] == "no-store", "it may be stored a moment later"
        kept = await client.get(f"/pictures/{make.frame_id(1)}/full")
        assert (kept.status_code, kept.headers["content-type"]) == (200, "image/bmp")
        assert (await client.get(f"/pictures/{make.frame_id(1)}/large")).status_code == 415
