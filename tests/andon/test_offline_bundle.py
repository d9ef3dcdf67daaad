"""What is said of a bundle whose files are not the ones that were put into it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from andon.offline_bundle import OfflineBundleError, OfflineManifest, verify
from lab.supply.offline import hash_file, pack, seal

MANIFEST = OfflineManifest(
    version="1", commit="abc", machine="linux-x86_64", python="3.11", packages=2
)
runner = CliRunner()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder in the form of a bundle."""
    folder = tmp_path / "bundle"
    (folder / "wheels").mkdir(parents=True)
    (folder / "wheels/part-1-py3-none-any.whl").write_bytes(b"a wheel")
    (folder / "install.sh").write_text("exit 0\n")
    seal(folder, MANIFEST)
    return folder


@pytest.mark.parametrize("as_tar", [False, True], ids=["folder", "tar"])
def test_a_whole_bundle_says_what_it_is(bundle: Path, tmp_path: Path, as_tar: bool) -> None:
    path = tmp_path / "bundle.tar" if as_tar else bundle
    if as_tar:
        pack(bundle, path)
    found = verify(path, hash_file(bundle / "SHA256SUMS"))
    assert found.manifest == MANIFEST
    assert found.files == 4
    assert found.size == sum(p.stat().st_size for p in bundle.rglob("*") if p.is_file())


def test_the_same_files_give_the_same_tar(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    paths = [tmp_path / "bundle.tar", tmp_path / "again" / "bundle.tar"]
    for path in paths:
        pack(bundle, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def change(bundle: Path) -> None:
    (bundle / "wheels/part-1-py3-none-any.whl").write_bytes(b"A wheel")


def remove(bundle: Path) -> None:
    (bundle / "install.sh").unlink()


def add(bundle: Path) -> None:
    (bundle / "wheels/other-1-py3-none-any.whl").write_bytes(b"")


def link(bundle: Path) -> None:
    (bundle / "install.sh").unlink()
    (bundle / "install.sh").symlink_to("/bin/true")


def unseal(bundle: Path) -> None:
    (bundle / "SHA256SUMS").unlink()


def garble(bundle: Path) -> None:
    (bundle / "SHA256SUMS").write_text("no hash\n")


FAULTS: dict[Callable[[Path], None], str] = {
    change: "wheels/part-1-py3-none-any.whl is another file than was bundled",
    remove: "install.sh lacks",
    add: "wheels/other-1-py3-none-any.whl is not named in SHA256SUMS",
    link: "install.sh: neither a file nor a folder",
    unseal: "no SHA256SUMS in it; this is no offline bundle",
    garble: "SHA256SUMS:1: not of the form `hash  path`",
}


@pytest.mark.parametrize("as_tar", [False, True], ids=["folder", "tar"])
@pytest.mark.parametrize("damage", FAULTS, ids=lambda damage: damage.__name__)
def test_a_damaged_bundle_is_refused(
    bundle: Path, tmp_path: Path, damage: Callable[[Path], None], as_tar: bool
) -> None:
    damage(bundle)
    path = tmp_path / "bundle.tar" if as_tar else bundle
    if as_tar:
        pack(bundle, path)
    with pytest.raises(OfflineBundleError, match=FAULTS[damage]):
        verify(path)


def test_a_bundle_that_was_exchanged_as_a_whole_is_told_by_its_digest(bundle: Path) -> None:
    digest = hash_file(bundle / "SHA256SUMS")
    change(bundle)
    seal(bundle, MANIFEST)
    verify(bundle)
    with pytest.raises(OfflineBundleError, match="another bundle"):
        verify(bundle, digest)


def test_what_is_no_tar_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar"
    path.write_bytes(b"not a tar")
    with pytest.raises(OfflineBundleError, match=r"bundle\.tar"):
        verify(path)
    with pytest.raises(OfflineBundleError, match=r"absent\.tar"):
        verify(tmp_path / "absent.tar")


def test_the_command_prints_one_object(bundle: Path) -> None:
    done = runner.invoke(app, ["bundle", "verify", str(bundle), "--json"])
    found = json.loads(done.stdout)
    assert found["manifest"]["version"] == "1"
    assert found["digest"] == hash_file(bundle / "SHA256SUMS")
