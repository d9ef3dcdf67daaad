"""The embedded PostgreSQL and S3: started, killed, restarted on the same folder and port."""

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import minio
import psutil
import pytest
from minio.error import MinioException

from infra.stack.postgres_local import LocalPostgres, start_postgres
from infra.stack.process import ProcessError, free_port, port_is_open
from infra.stack.s3_local import LocalS3, start_s3


@pytest.fixture
def server(scratch: Path) -> Iterator[LocalPostgres]:
    with start_postgres(scratch / "pg") as running:
        yield running


@pytest.fixture
def store(scratch: Path) -> Iterator[LocalS3]:
    with start_s3(scratch / "s3", access_key="ours", secret_key='quo"te') as running:
        yield running


def sql(server: LocalPostgres, text: str) -> object:
    async def run() -> object:
        link = await asyncpg.connect(server.url.replace("+asyncpg", ""), timeout=5)
        try:
            return await link.fetchval(text)
        finally:
            await link.close()

    return asyncio.run(run())


def test_postgres_takes_connections_and_stops_clean(server: LocalPostgres) -> None:
    assert str(sql(server, "SHOW server_version")).startswith("18.")
    family = [server.pid, *(p.pid for p in psutil.Process(server.pid).children(recursive=True))]
    server.stop()
    assert not any(psutil.pid_exists(pid) for pid in family)
    assert not port_is_open(server.port)
    assert not (server.data_dir / "postmaster.pid").exists()
    server.stop()


def test_postgres_killed_comes_back_with_its_rows(server: LocalPostgres) -> None:
    sql(server, "CREATE TABLE part AS SELECT 7 AS n")
    server.kill()
    assert (server.data_dir / "postmaster.pid").exists()
    with start_postgres(server.data_dir, server.port) as again:
        assert sql(again, "SELECT n FROM part") == 7


def test_postgres_is_not_stopped_by_a_pid_file_that_names_a_stranger(
    server: LocalPostgres,
) -> None:
    server.kill()
    pid_file = server.data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with start_postgres(server.data_dir, server.port) as again:
        assert sql(again, "SELECT 1") == 1


def test_a_second_postgres_on_the_folder_or_port_says_what_to_do(server: LocalPostgres) -> None:
    with pytest.raises(ProcessError, match=f"pid {server.pid}.*stop it first"):
        start_postgres(server.data_dir)
    with pytest.raises(ProcessError, match=f"port {server.port} .*in use"):
        start_postgres(server.data_dir.with_name("other"), server.port)
    assert sql(server, "SELECT 1") == 1


def test_a_folder_with_other_files_is_left_alone(scratch: Path) -> None:
    (scratch / "taken").mkdir()
    (scratch / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(ProcessError, match="name another folder"):
        start_postgres(scratch / "taken")
    assert (scratch / "taken" / "thesis.txt").read_text() == "mine"


def test_an_interrupted_first_start_is_begun_again(scratch: Path) -> None:
    draft = scratch / "pg.999999999.draft"  # of a process that is gone
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18")
    with start_postgres(scratch / "pg") as running:
        assert sql(running, "SELECT 1") == 1
    assert not draft.exists()


def test_s3_keeps_objects_over_a_kill(store: LocalS3) -> None:
    def client(server: LocalS3, secret: str) -> minio.Minio:
        return minio.Minio(
            server.endpoint, server.access_key, secret, secure=False, region="us-east-1"
        )

    ours = client(store, store.secret_key)
    ours.make_bucket("andon")
    ours.put_object("andon", "a/b", io.BytesIO(b"picture"), 7)
    store.kill()
    with start_s3(store.data_dir, store.port, store.access_key, store.secret_key) as again:
        reply = client(again, again.secret_key).get_object("andon", "a/b")
        assert reply.data == b"picture"
        reply.close()
        reply.release_conn()
        with pytest.raises(MinioException, match="SignatureDoesNotMatch"):
            client(again, "wrong").list_buckets()
        assert again.secret_key not in " ".join(psutil.Process(again.pid).cmdline())


def test_s3_on_a_taken_port_says_what_to_do(store: LocalS3, scratch: Path) -> None:
    with pytest.raises(ProcessError, match="ANDON_S3__ENDPOINT"):
        start_s3(scratch / "other", store.port)
    with pytest.raises(ProcessError, match="no comma"):
        start_s3(scratch / "other", free_port(), secret_key="a,b")
