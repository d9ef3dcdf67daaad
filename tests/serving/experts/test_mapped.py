"""Tensors read from the file's pages."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from serving.bundles import BundleError, digest_of, map_file
from serving.experts.mapped import map_tensors

TENSORS = {
    "bank": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "scores": np.linspace(0, 1, 5),
    "sizes": np.array([3, 1], np.int64),
    "one": np.array(2.5, np.float32),
    "none": np.zeros((0, 4), np.float32),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "tensors.safetensors"
    made.write_bytes(save(TENSORS))
    return made


def test_tensors_are_those_that_were_saved_and_writing_changes_no_file(file: Path) -> None:
    before = file.read_bytes()
    found = map_tensors(file, digest_of(before))
    assert found.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        assert found[name].dtype == values.dtype
        assert found[name].shape == values.shape
        assert np.array_equal(found[name], values)
    found["bank"][:] = 7
    assert file.read_bytes() == before


def test_a_file_that_changed_since_it_was_checked_is_checked_again(file: Path) -> None:
    body = file.read_bytes()
    map_file(file, digest_of(body))
    seen = file.stat()
    file.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    with pytest.raises(BundleError, match="altered"):
        map_file(file, digest_of(body))


def test_a_file_that_stays_as_it_is_is_read_once(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = digest_of(file.read_bytes())
    monkeypatch.setattr("serving.bundles.SETTLED_NS", -1)
    map_file(file, digest)
    monkeypatch.setattr("serving.bundles._check", lambda *given: pytest.fail("read again"))
    assert map_file(file, digest)[:] == file.read_bytes()


def test_no_file_and_an_empty_one_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    for name in ("absent", "empty"):
        with pytest.raises(BundleError, match=name):
            map_file(tmp_path / name, "0" * 64)
