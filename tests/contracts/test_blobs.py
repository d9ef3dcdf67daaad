"""The contract of the bundles' ``Blobs``: a folder and S3 below a prefix keep it."""

from itertools import count
from pathlib import Path

import pytest

from history.object_store import S3Objects
from serving.blobs import Blobs, FolderBlobs

_PREFIXES = count()


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return FolderBlobs(tmp_path / "blobs")
    server, prefix = request.getfixturevalue("s3"), f"experts-{next(_PREFIXES)}/"
    return S3Objects(
        server.endpoint, server.access_key, server.secret_key, bucket="blobs", prefix=prefix
    )


def test_an_empty_store_has_nothing(blobs: Blobs) -> None:
    assert blobs.get("tile/manifest.json") is None
    assert blobs.keys("") == {}
    assert blobs.keys("tile/") == {}


def test_what_is_put_is_got_and_put_again_replaces(blobs: Blobs) -> None:
    blobs.put("tile/a/manifest.json", b"{}")
    blobs.put("tile/a/bank.bin", b"\x00" * (6 << 20))
    assert blobs.get("tile/a/bank.bin") == b"\x00" * (6 << 20)
    blobs.put("tile/a/manifest.json", b"")
    assert blobs.get("tile/a/manifest.json") == b""


def test_keys_are_relative_and_carry_the_time_of_writing(blobs: Blobs) -> None:
    for key in ("tile/a/x", "tile/b/x", "tiles/x"):
        blobs.put(key, b"x")
    assert blobs.keys("").keys() == {"tile/a/x", "tile/b/x", "tiles/x"}
    written = blobs.keys("tile/")
    assert written.keys() == {"tile/a/x", "tile/b/x"}
    assert all(seconds > 1_700_000_000 for seconds in written.values())
