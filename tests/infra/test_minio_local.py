"""MinIO on this machine: keeps its objects over a kill, lets in who has the keys."""

import io
from pathlib import Path

import minio as client_library
import psutil
import pytest
from minio.error import S3Error

from infra.stack import minio_local
from infra.stack.minio_local import (
    build_minio,
    minio_available,
    minio_is_built,
    start_minio,
)
from infra.stack.process import ProcessError
from infra.stack.s3_local import LocalS3
from tests.infra.needs import need_minio


def client(server: LocalS3, secret: str) -> client_library.Minio:
    return client_library.Minio(
        server.endpoint, server.access_key, secret, secure=False, region="us-east-1"
    )


@pytest.mark.slow
def test_objects_outlive_a_kill_and_the_secret_counts(scratch: Path) -> None:
    need_minio()
    with start_minio(scratch / "minio") as server:
        ours = client(server, server.secret_key)
        ours.make_bucket("andon")
        ours.put_object("andon", "a/b", io.BytesIO(b"picture"), 7)
        with pytest.raises(ProcessError, match="ANDON_S3__ENDPOINT"):
            start_minio(scratch / "other", server.port)
        server.kill()
        with start_minio(server.data_dir, server.port) as again:
            reply = client(again, again.secret_key).get_object("andon", "a/b")
            assert reply.data == b"picture"
            reply.close()
            reply.release_conn()
            with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
                client(again, "not the secret").list_buckets()
            assert again.secret_key not in " ".join(psutil.Process(again.pid).cmdline())


def test_without_go_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install Go" in minio_available(tmp_path)
    with pytest.raises(ProcessError, match="install Go"):
        start_minio(tmp_path / "data", cache=tmp_path)


def test_it_is_built_once_and_a_failed_build_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    monkeypatch.setattr(minio_local.shutil, "which", lambda name: str(go))
    go.write_text("#!/bin/sh\necho 'no route to the module proxy' >&2; exit 1\n")
    go.chmod(0o755)
    with pytest.raises(ProcessError, match="no route to the module proxy"):
        build_minio(tmp_path / "cache")
    assert not minio_is_built(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.draft"))
    go.write_text('#!/bin/sh\ntouch "$GOBIN/minio"\n')
    program = build_minio(tmp_path / "cache")
    assert minio_is_built(tmp_path / "cache")
    go.unlink()
    assert build_minio(tmp_path / "cache") == program
