"""The store of artifacts, in a folder and in S3."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from history.object_store import S3Objects
from infra.stack.process import ProcessError
from serving.bundle_store import BundleStore, FolderBlobs, open_folder, split_s3
from serving.errors import StoreError
from tests.serving.ray.tiny import save_tiny


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BundleStore]:
    """A store whose cache is not where its objects are; both kinds pass the same tests."""
    root = tmp_path / "remote"
    if request.param == "folder":
        yield BundleStore(FolderBlobs(root), tmp_path / "cache")
        return
    from infra.stack.s3_local import rclone, start_s3

    try:
        rclone()
    except ProcessError as error:
        pytest.skip(str(error))
    root.mkdir()
    with start_s3(tmp_path) as server:
        objects = S3Objects(server.endpoint, server.access_key, server.secret_key, bucket="remote")
        yield BundleStore(objects, tmp_path / "cache")


def _bundle(tmp_path: Path, note: str) -> tuple[Path, str]:
    digest = save_tiny(tmp_path / "made", note=note)
    folder = tmp_path / "made" / "tile" / digest
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "a.bin").write_bytes(note.encode())
    return folder, digest


def test_what_is_put_is_fetched_once_and_then_read_from_the_cache(
    remote: BundleStore, tmp_path: Path
) -> None:
    folder, digest = _bundle(tmp_path, "one")
    assert remote.put("tile", folder) == digest
    fetched = remote.fetch("tile", digest)
    assert fetched.name == digest
    assert (fetched / "parts" / "a.bin").read_bytes() == b"one"
    shutil.rmtree(tmp_path / "remote")
    assert remote.fetch("tile", digest) == fetched


def test_the_latest_version_is_what_was_written_last(remote: BundleStore, tmp_path: Path) -> None:
    assert remote.products() == {}
    assert remote.latest("tile") is None
    first, one = _bundle(tmp_path, "one")
    second, two = _bundle(tmp_path, "two")
    remote.put("tile", first)
    remote.put("tile", second)
    assert remote.products() == {"tile": two}
    remote.point("tile", one)
    assert remote.latest("tile") == one
    assert remote.put("tile", second) == two
    assert remote.latest("tile") == two


def test_a_folder_that_training_wrote_is_a_store(tmp_path: Path) -> None:
    digest = save_tiny(tmp_path, "tile")
    store = open_folder(tmp_path)
    assert store.products() == {"tile": digest}
    assert store.fetch("tile", digest) == tmp_path / "tile" / digest


def test_an_altered_bundle_is_refused_by_name(remote: BundleStore, tmp_path: Path) -> None:
    folder, digest = _bundle(tmp_path, "one")
    remote.put("tile", folder)
    (remote.fetch("tile", digest) / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="altered since it was written"):
        remote.fetch("tile", digest)


@pytest.mark.parametrize("digest", ["", "abc", "../../etc", "A" * 64, "0" * 63])
def test_what_is_no_digest_never_becomes_a_path(remote: BundleStore, digest: str) -> None:
    with pytest.raises(StoreError, match="no digest"):
        remote.fetch("tile", digest)


@pytest.mark.parametrize("product", ["", "..", ".hidden", "a/b", "a\\b", "x\n", " x", "y" * 200])
def test_what_cannot_name_a_folder_is_no_product(remote: BundleStore, product: str) -> None:
    with pytest.raises(StoreError, match="product"):
        remote.fetch(product, "0" * 64)


def test_absent_bundles_and_manifests_say_so(remote: BundleStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not in the store"):
        remote.fetch("tile", "0" * 64)
    with pytest.raises(StoreError, match=r"no manifest\.json"):
        remote.put("tile", tmp_path)
    remote._blobs.put("tile/latest.json", b"[]")
    with pytest.raises(StoreError, match="damaged"):
        remote.latest("tile")


def test_an_upload_that_broke_off_is_no_version(remote: BundleStore, tmp_path: Path) -> None:
    _, digest = _bundle(tmp_path, "one")
    remote._blobs.put(f"tile/{digest}/tensors.safetensors", b"...")
    assert remote.products() == {}
    with pytest.raises(StoreError, match="not in the store"):
        remote.fetch("tile", digest)


def test_s3_locations() -> None:
    assert split_s3("s3://andon/artifacts/") == ("andon", "artifacts/")
    assert split_s3("s3://andon") == ("andon", "")
    with pytest.raises(StoreError, match="expected s3://"):
        split_s3("s3:///artifacts")
