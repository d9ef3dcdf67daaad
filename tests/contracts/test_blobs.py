"""The contract of the bundles' ``Blobs``: a folder and S3 below a prefix keep it."""

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from history.object_store import S3Objects
from serving.bundle_store import Blobs, FolderBlobs
from tests.serving.bundles import write_file

_PREFIXES = count()


class Kept(NamedTuple):
    """A place to read from, and how what is kept there gets there."""

    blobs: Blobs
    put: Callable[[str, bytes], None]


@pytest.fixture(params=["folder", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "folder":
        root = tmp_path / "blobs"
        return Kept(FolderBlobs(root), partial(write_file, root))
    server, prefix = request.getfixturevalue("s3"), f"experts-{next(_PREFIXES)}/"
    objects = S3Objects(
        server.endpoint, server.access_key, server.secret_key, bucket="blobs", prefix=prefix
    )
    return Kept(objects, objects.put)


def test_an_empty_store_has_nothing(kept: Kept) -> None:
    assert kept.blobs.get("tile/manifest.json") is None
    assert kept.blobs.keys("") == {}
    assert kept.blobs.keys("tile/") == {}


def test_what_is_put_is_got_and_put_again_replaces(kept: Kept) -> None:
    kept.put("tile/a/manifest.json", b"{}")
    kept.put("tile/a/bank.bin", b"\x00" * (6 << 20))
    assert kept.blobs.get("tile/a/bank.bin") == b"\x00" * (6 << 20)
    kept.put("tile/a/manifest.json", b"")
    assert kept.blobs.get("tile/a/manifest.json") == b""


def test_keys_are_relative_and_carry_the_time_of_writing(kept: Kept) -> None:
    for key in ("tile/a/x", "tile/b/x", "tiles/x"):
        kept.put(key, b"x")
    assert kept.blobs.keys("").keys() == {"tile/a/x", "tile/b/x", "tiles/x"}
    written = kept.blobs.keys("tile/")
    assert written.keys() == {"tile/a/x", "tile/b/x"}
    assert all(seconds > 1_700_000_000 for seconds in written.values())
