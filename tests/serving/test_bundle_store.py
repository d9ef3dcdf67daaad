"""The store of artifacts, in a folder and in S3."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from history.object_store import S3Objects
from infra.stack.process import ProcessError
from serving.blobs import FolderBlobs
from serving.bundle_store import SHADOW, BundleStore, open_folder, split_s3
from serving.bundles import BundleError, digest_of, product_path, write_bundle
from serving.errors import StoreError
from tests.serving.bundles import copy_bundle, write_file
from tests.serving.ray.tiny import load_tiny, save_tiny


class Remote(NamedTuple):
    """A store, and how what is kept there gets there."""

    store: BundleStore
    put: Callable[[str, bytes], None]


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    """A store whose cache is not where its objects are; both kinds pass the same tests."""
    root = tmp_path / "remote"
    if request.param == "folder":
        store = BundleStore(FolderBlobs(root), tmp_path / "cache")
        yield Remote(store, partial(write_file, root))
        return
    from infra.stack.s3_local import rclone, start_s3

    try:
        rclone()
    except ProcessError as error:
        pytest.skip(str(error))
    root.mkdir()
    with start_s3(tmp_path) as server:
        objects = S3Objects(server.endpoint, server.access_key, server.secret_key, bucket="remote")
        yield Remote(BundleStore(objects, tmp_path / "cache"), objects.put)


def _bundle(tmp_path: Path, note: str) -> tuple[Path, str]:
    digest = save_tiny(tmp_path / "made", note=note)
    folder = tmp_path / "made" / "tile" / digest
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "a.bin").write_bytes(note.encode())
    return folder, digest


def test_what_is_put_is_fetched_once_and_then_read_from_the_cache(
    remote: Remote, tmp_path: Path
) -> None:
    folder, digest = _bundle(tmp_path, "one")
    copy_bundle(remote.put, "tile", folder)
    fetched = remote.store.fetch("tile", digest)
    assert fetched.name == digest
    assert (fetched / "parts" / "a.bin").read_bytes() == b"one"
    shutil.rmtree(tmp_path / "remote")
    assert remote.store.fetch("tile", digest) == fetched


def test_the_latest_version_is_what_was_written_last(remote: Remote, tmp_path: Path) -> None:
    assert remote.store.products() == {}
    first, one = _bundle(tmp_path, "one")
    second, two = _bundle(tmp_path, "two")
    copy_bundle(remote.put, "tile", first)
    assert remote.store.products() == {"tile": one}
    copy_bundle(remote.put, "tile", second)
    for digest in (one, two):
        remote.put("tile/latest.json", json.dumps({"digest": digest}).encode())
        assert remote.store.products() == {"tile": digest}


def test_a_folder_that_training_wrote_is_a_store(tmp_path: Path) -> None:
    older, digest = save_tiny(tmp_path, "tile", note="one"), save_tiny(tmp_path, "tile", note="two")
    os.utime(tmp_path / "tile" / older / "manifest.json", (0, 0))
    store = open_folder(tmp_path)
    assert store.products() == {"tile": digest}
    assert store.fetch("tile", digest) == tmp_path / "tile" / digest


def test_a_pointer_holds_against_what_is_written_later(remote: Remote, tmp_path: Path) -> None:
    first, one = _bundle(tmp_path, "one")
    second, two = _bundle(tmp_path, "two")
    copy_bundle(remote.put, "tile", first)
    assert remote.store.pointed("tile") is None
    remote.store.point("tile", one)
    copy_bundle(remote.put, "tile", second)
    assert remote.store.products() == {"tile": one}
    assert remote.store.versions("tile").keys() == {one, two}
    remote.store.point("tile", two)
    assert remote.store.products() == {"tile": two}
    assert remote.store.pointed("tile", SHADOW) is None
    remote.store.point("tile", one, SHADOW)
    assert (remote.store.pointed("tile"), remote.store.pointed("tile", SHADOW)) == (two, one)
    remote.store.point("tile", None, SHADOW)
    assert remote.store.pointed("tile", SHADOW) is None


def test_one_product_is_looked_up_as_all_are(remote: Remote, tmp_path: Path) -> None:
    store = remote.store
    assert store.in_force("tile") is None
    (first, one), (second, two) = _bundle(tmp_path, "one"), _bundle(tmp_path, "two")
    for bundle, digest in ((first, one), (second, two)):
        copy_bundle(remote.put, "tile", bundle)
        assert store.in_force("tile") == store.products()["tile"]
        store.point("tile", digest)
        assert store.in_force("tile") == store.products()["tile"] == digest
    store.point("tile", None)
    assert store.in_force("tile") is None
    assert store.products() == {}


def test_a_pointer_names_only_what_is_there_and_whole(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="andon models list"):
        remote.store.point("tile", "0" * 64)
    folder, digest = _bundle(tmp_path, "one")
    copy_bundle(remote.put, "tile", folder)
    remote.put(f"tile/{digest}/manifest.json", b"{}")
    with pytest.raises(StoreError, match="altered"):
        remote.store.point("tile", digest)
    assert remote.store.pointed("tile") is None


def test_a_bundle_is_added_whole_and_noted_beside(remote: Remote, tmp_path: Path) -> None:
    folder, digest = _bundle(tmp_path, "one")
    remote.store.add("tile", folder)
    remote.store.add("tile", folder)
    assert remote.store.products() == {"tile": digest}
    assert (remote.store.fetch("tile", digest) / "parts" / "a.bin").read_bytes() == b"one"
    assert remote.store.note("tile", digest) is None
    remote.store.put_note("tile", digest, b"{}")
    assert remote.store.note("tile", digest) == b"{}"
    assert remote.store.products() == {"tile": digest}


def test_a_host_remembers_what_it_served(remote: Remote) -> None:
    assert remote.store.remembered() == {}
    remote.store.remember({"tile": "0" * 64})
    assert remote.store.remembered() == {"tile": "0" * 64}
    assert remote.store.products() == {}


def test_a_bundle_that_was_copied_in_half_is_made_whole(remote: Remote, tmp_path: Path) -> None:
    folder, digest = _bundle(tmp_path, "one")
    remote.put(f"tile/{digest}/manifest.json", (folder / "manifest.json").read_bytes())
    remote.put(f"tile/{digest}/parts/a.bin", b"on")
    remote.store.add("tile", folder)
    assert (remote.store.fetch("tile", digest) / "parts" / "a.bin").read_bytes() == b"one"


@pytest.mark.parametrize("lost", ["manifest.json", "tensors.bin"])
def test_what_is_made_again_mends_what_was_damaged(tmp_path: Path, lost: str) -> None:
    """The message of a damaged file says: make it again."""
    files = {"tensors.bin": b"tensors", "manifest.json": b"{}"}
    folder = write_bundle(tmp_path, "tile", files)
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"te")):
        damage(folder / lost)
        assert write_bundle(tmp_path, "tile", files) == folder
        assert {f.name: f.read_bytes() for f in folder.iterdir()} == files


def test_what_is_made_again_is_what_was_made_last(tmp_path: Path) -> None:
    """Who trains as before to go back has that version in force, as `andon train` says."""
    store, one, two = open_folder(tmp_path), save_tiny(tmp_path, note="1"), save_tiny(tmp_path)
    for digest, seconds in ((one, 100), (two, 200)):
        os.utime(tmp_path / "tile" / digest / "manifest.json", (seconds, seconds))
    assert store.products() == {"tile": two}
    assert save_tiny(tmp_path, note="1") == one
    assert store.products() == {"tile": one}


def test_what_cannot_be_mended_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"tensors.bin": b"tensors", "manifest.json": b"{}"}
    folder = write_bundle(tmp_path, "tile", files)
    (folder / "tensors.bin").unlink()

    def full(path: Path, body: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("serving.bundles.write_whole", full)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(tmp_path, "tile", files)


def test_a_copy_that_cannot_be_opened_is_fetched_anew(remote: Remote, tmp_path: Path) -> None:
    folder, digest = _bundle(tmp_path, "one")
    remote.put(f"tile/{digest}/manifest.json", (folder / "manifest.json").read_bytes())

    def part(path: Path) -> bytes:
        return (path / "parts" / "a.bin").read_bytes()

    for _ in range(2):  # fetched while it was being uploaded
        with pytest.raises(FileNotFoundError):
            remote.store.opened("tile", digest, part)
    remote.put(f"tile/{digest}/parts/a.bin", b"one")
    assert remote.store.opened("tile", digest, part) == b"one"
    assert [path.name for path in (tmp_path / "cache" / "tile").iterdir()] == [digest]


def test_a_copy_stays_where_the_store_has_no_other(tmp_path: Path) -> None:
    folder, digest = _bundle(tmp_path, "one")
    root, cache = tmp_path / "remote", tmp_path / "cache"
    store = BundleStore(FolderBlobs(root), cache)
    copy_bundle(partial(write_file, root), "tile", folder)
    kept = store.fetch("tile", digest)
    shutil.rmtree(root)

    def refuse(path: Path) -> None:
        raise RuntimeError("no memory for it now")

    with pytest.raises(RuntimeError, match="no memory"):
        store.opened("tile", digest, refuse)
    assert (kept / "parts" / "a.bin").read_bytes() == b"one"


def test_an_altered_bundle_is_refused_by_name(remote: Remote, tmp_path: Path) -> None:
    folder, digest = _bundle(tmp_path, "one")
    copy_bundle(remote.put, "tile", folder)
    (remote.store.fetch("tile", digest) / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="altered since it was written"):
        remote.store.fetch("tile", digest)


@pytest.mark.parametrize("digest", ["", "abc", "../../etc", "A" * 64, "0" * 63])
def test_what_is_no_digest_never_becomes_a_path(remote: Remote, digest: str) -> None:
    with pytest.raises(StoreError, match="no digest"):
        remote.store.fetch("tile", digest)


@pytest.mark.parametrize("product", ["", " ", "x\n", " x", "x ", "y" * 201, "a\u200bb", "\x00"])
def test_what_cannot_name_a_folder_is_no_product(remote: Remote, product: str) -> None:
    with pytest.raises(StoreError, match="product"):
        remote.store.fetch(product, "0" * 64)


def test_absent_bundles_and_damaged_pointers_say_so(remote: Remote) -> None:
    with pytest.raises(StoreError, match="not in the store"):
        remote.store.fetch("tile", "0" * 64)
    remote.put("tile/latest.json", b"[]")
    with pytest.raises(StoreError, match="damaged"):
        remote.store.products()


def test_an_upload_that_broke_off_is_no_version(remote: Remote, tmp_path: Path) -> None:
    _, digest = _bundle(tmp_path, "one")
    remote.put(f"tile/{digest}/tensors.safetensors", b"...")
    assert remote.store.products() == {}
    with pytest.raises(StoreError, match="not in the store"):
        remote.store.fetch("tile", digest)


def test_s3_locations() -> None:
    assert split_s3("s3://andon/artifacts/") == ("andon", "artifacts/")
    assert split_s3("s3://andon") == ("andon", "")
    with pytest.raises(StoreError, match="expected s3://"):
        split_s3("s3:///artifacts")


PLANT_NAMES = ["AB/12 ö", "6ES7 155-6AU01-0BN0", "日本", "..", "CON", "[red]", "x" * 200, "007"]


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
@pytest.mark.parametrize("product", PLANT_NAMES)
def test_a_product_is_called_as_the_plant_calls_it(
    remote: Remote, tmp_path: Path, product: str
) -> None:
    digest = save_tiny(tmp_path / "made", product, note="one")
    folder = product_path(tmp_path / "made", product) / digest
    assert folder.parent.parent == tmp_path / "made"
    remote.store.add(product, folder)
    assert remote.store.products() == {product: digest}
    assert list(remote.store.versions(product)) == [digest]
    remote.store.point(product, digest)
    remote.store.put_note(product, digest, b"{}")
    assert remote.store.pointed(product) == digest
    fetched = remote.store.fetch(product, digest)
    assert load_tiny(fetched).product == product
    assert fetched.resolve().is_relative_to(tmp_path / "cache")


def test_names_of_plants_are_keys_of_s3(remote: Remote, tmp_path: Path) -> None:
    made = {p: save_tiny(tmp_path / "made", p, note=p) for p in ("AB/12 ö", "tile", "AB 12 o")}
    for product, digest in made.items():
        remote.store.add(product, product_path(tmp_path / "made", product) / digest)
    assert remote.store.products() == made


def test_a_folder_of_before_keeps_its_name(remote: Remote, tmp_path: Path) -> None:
    product = "Türgriff 12"
    digest = save_tiny(tmp_path / "made", product, note="one")
    copy_bundle(remote.put, product, product_path(tmp_path / "made", product) / digest)
    assert remote.store.products() == {product: digest}
    remote.store.point(product, digest)
    assert load_tiny(remote.store.fetch(product, digest)).product == product
    (tmp_path / "old" / product).mkdir(parents=True)
    assert product_path(tmp_path / "old", product) == tmp_path / "old" / product


def test_products_that_differ_in_case_are_not_mixed(tmp_path: Path) -> None:
    save_tiny(tmp_path, "Tile", note="one")
    with pytest.raises(BundleError, match="only in upper and lower case"):
        save_tiny(tmp_path, "tile", note="two")
    assert product_path(tmp_path, "Tile") == tmp_path / "Tile"
    (tmp_path / "tile").mkdir()
    assert save_tiny(tmp_path, "tile", note="two")  # both stood there before


def test_a_manifest_that_names_no_product_is_said(remote: Remote) -> None:
    body = b"{}"
    digest = digest_of(body)
    remote.put(f"ab-12--{'0' * 16}/{digest}/manifest.json", body)
    with pytest.raises(StoreError, match="does not name its product"):
        remote.store.products()
