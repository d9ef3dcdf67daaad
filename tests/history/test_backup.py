"""The drill: a history is backed up, lost, and brought back; and what a backup refuses."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from history.backup.database import dump_database, first_part_at
from history.backup.folder import ABOUT, DUMP, make_backup, read_backup, restore_backup
from history.backup.objects import ObjectCopy, read_list
from history.errors import HistoryError
from history.migrate import head, upgrade
from history.object_store import S3Objects
from history.queries import History
from history.writer import PostgresHistoryWriter
from infra.stack.s3_local import LocalS3
from streams.errors import UnavailableError
from streams.failures import Cause, TransientError
from streams.ids import image_key
from tests.history import make
from tests.history.conftest import _fresh_name

PICTURE = b"\x89PNG\r\n" + bytes(range(256)) * 40


def quiet(bucket: str, done: int, of: int) -> None:
    assert done <= of, bucket


def bucket_of(s3: LocalS3) -> S3Objects:
    name = _fresh_name().replace("_", "-")
    return S3Objects(s3.endpoint, s3.access_key, s3.secret_key, bucket=name)


@pytest.fixture
def bucket(s3: LocalS3) -> Iterator[S3Objects]:
    made = bucket_of(s3)
    yield made
    made.close()


async def filled(writer: PostgresHistoryWriter, bucket: S3Objects) -> dict[str, bytes]:
    """Parts with pictures, decided and acknowledged; the objects by key."""
    decided = [make.decision(n) for n in range(5)]
    await writer.add_decisions(decided)
    await writer.add_acknowledgements([make.acknowledgement(event) for event in decided])
    await writer.add_anomalies([make.anomaly(n) for n in range(3)])
    await writer.add_reviews([make.review(1)])
    kept = {image_key(make.frame_id(n)): PICTURE + bytes([n]) for n in range(3)}
    kept |= {"dead/odd key with spaces/ümlaut": b"", "artifacts/same": PICTURE + b"\x00"}
    for key, body in kept.items():
        bucket.put(key, body, "image/png")
    return kept


@pytest.mark.asyncio
async def test_a_lost_history_is_brought_back(
    writer: PostgresHistoryWriter, history: History, url: str, empty_url: str, s3: LocalS3,
    bucket: S3Objects, tmp_path: Path,
) -> None:  # fmt: skip
    kept = await filled(writer, bucket)
    before = await history.stats()
    made = await asyncio.to_thread(
        make_backup, url, head(), {"plant": bucket}, tmp_path / "b", quiet
    )
    assert made.buckets == {"plant": len(kept)}
    again = bucket_of(s3)  # the plant's own is lost, and the database with it
    found = await asyncio.to_thread(
        restore_backup, tmp_path / "b", empty_url, {"plant": again}, quiet
    )
    assert found == made
    restored = History(empty_url)
    try:
        assert (await restored.gaps()).complete
        assert await restored.stats() == before
        assert (await restored.show(make.frame_id(1))) == await history.show(make.frame_id(1))
    finally:
        await restored.close()
    assert set(again.keys("")) == set(kept)
    assert all(again.read(key) == (body, "image/png") for key, body in kept.items())
    with pytest.raises(HistoryError, match=r"tables already.*empty database: stop"):
        await asyncio.to_thread(restore_backup, tmp_path / "b", url, {"plant": again}, quiet)


@pytest.mark.asyncio
async def test_a_backup_is_renewed_and_forgets_what_was_removed(
    writer: PostgresHistoryWriter, url: str, bucket: S3Objects, tmp_path: Path
) -> None:
    kept = await filled(writer, bucket)
    await asyncio.to_thread(make_backup, url, head(), {"plant": bucket}, tmp_path, quiet)
    own = tmp_path / "buckets" / "plant"
    first = {file: file.stat().st_mtime_ns for file in (own / "objects").glob("*/*")}
    assert len(first) == len(set(kept.values())), "the same bytes are kept once"
    gone, fresh = sorted(kept)[-1], "inspections/new/image"
    bucket._client.remove_object(bucket._bucket, gone)
    bucket.put(fresh, b"new", "image/png")
    await asyncio.to_thread(make_backup, url, head(), {"plant": bucket}, tmp_path, quiet)
    assert {copy.key for copy in read_list(own)} == set(kept) - {gone} | {fresh}
    second = {file: file.stat().st_mtime_ns for file in (own / "objects").glob("*/*")}
    assert len(second) == len(first), "one came and one went"
    assert second.items() >= {f: t for f, t in first.items() if f in second}.items()


@pytest.mark.asyncio
async def test_what_is_no_whole_backup_is_refused(
    writer: PostgresHistoryWriter, url: str, empty_url: str, bucket: S3Objects, tmp_path: Path
) -> None:
    with pytest.raises(HistoryError, match="no backup, or one that was interrupted"):
        read_backup(tmp_path)
    await filled(writer, bucket)
    await asyncio.to_thread(make_backup, url, head(), {"plant": bucket}, tmp_path, quiet)
    with pytest.raises(HistoryError, match=r"do not name: plant; .*ANDON_S3__BUCKET"):
        await asyncio.to_thread(restore_backup, tmp_path, empty_url, {}, quiet)
    about = tmp_path / ABOUT
    about.write_text(json.dumps({"made_at": "soon"}))
    with pytest.raises(HistoryError, match="cannot be read"):
        read_backup(tmp_path)
    (tmp_path / DUMP).write_bytes(b"PGDMP and no more")
    await asyncio.to_thread(make_backup, url, head(), {"plant": bucket}, tmp_path, quiet)
    damaged = next(file for file in (tmp_path / "buckets").rglob("??/*") if file.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(HistoryError, match="the backup is damaged"):
        await asyncio.to_thread(restore_backup, tmp_path, empty_url, {"plant": bucket}, quiet)
    await asyncio.to_thread(make_backup, url, head(), {"plant": bucket}, tmp_path, quiet)
    await asyncio.to_thread(restore_backup, tmp_path, empty_url, {"plant": bucket}, quiet)
    assert await first_part_at(empty_url), "made again, and what failed left the database empty"


class Cut(S3Objects):
    """An object store that goes away while it is listed."""

    def keys(self, prefix: str) -> dict[str, float]:
        raise TransientError(Cause.AWAY, "no answer")


@pytest.mark.asyncio
async def test_a_backup_that_fails_leaves_the_one_before(
    writer: PostgresHistoryWriter, url: str, empty_url: str, bucket: S3Objects, tmp_path: Path
) -> None:
    await filled(writer, bucket)
    plant = {"plant": bucket}
    made = await asyncio.to_thread(make_backup, url, head(), plant, tmp_path, quiet)
    dump = (tmp_path / DUMP).read_bytes()
    await writer.add_decisions([make.decision(9)])
    away = {**plant, "other": Cut("127.0.0.1:1", "a", "b", bucket="other")}
    with pytest.raises(UnavailableError, match="no answer"):
        await asyncio.to_thread(make_backup, url, head(), away, tmp_path, quiet)
    assert (tmp_path / DUMP).read_bytes() == dump
    found = await asyncio.to_thread(restore_backup, tmp_path, empty_url, plant, quiet)
    assert found == made


@pytest.mark.asyncio
async def test_a_folder_is_renewed_by_one_process_at_a_time(
    writer: PostgresHistoryWriter, url: str, empty_url: str, bucket: S3Objects, tmp_path: Path
) -> None:
    """A schedule and a person: the second one removed the files that the first had just copied."""
    kept = await filled(writer, bucket)
    plant, refused = {"plant": bucket}, list[str]()

    def begin_another(name: str, done: int, of: int) -> None:
        with pytest.raises(HistoryError, match=r"at work in .*: wait for its end") as second:
            make_backup(url, head(), plant, tmp_path, quiet)
        with pytest.raises(HistoryError, match="is at work in"):
            restore_backup(tmp_path, empty_url, plant, quiet)
        refused.append(str(second.value))

    await asyncio.to_thread(make_backup, url, head(), plant, tmp_path, begin_another)
    assert len(refused) == len(kept)
    await asyncio.to_thread(restore_backup, tmp_path, empty_url, plant, quiet)


@pytest.mark.asyncio
async def test_what_was_lost_is_not_forgotten_by_the_next_backup(
    writer: PostgresHistoryWriter, url: str, empty_url: str, s3: LocalS3, bucket: S3Objects,
    tmp_path: Path,
) -> None:  # fmt: skip
    """A store that was lost and made anew is empty, and a schedule runs on."""
    kept = await filled(writer, bucket)
    await asyncio.to_thread(make_backup, url, head(), {"plant": bucket}, tmp_path, quiet)
    lost = {"plant": bucket_of(s3)}
    lost["plant"].put("inspections/of/today", b"new", "image/png")  # the line goes on
    with pytest.raises(HistoryError, match=r"none of the 5 objects any more"):
        await asyncio.to_thread(make_backup, url, head(), lost, tmp_path, quiet)
    await upgrade(empty_url)  # as the role record does at once
    plant = {"plant": bucket}
    with pytest.raises(HistoryError, match=r"the database holds no part, and the backup in"):
        await asyncio.to_thread(make_backup, empty_url, head(), plant, tmp_path, quiet)
    anew = PostgresHistoryWriter(empty_url)
    await anew.add_decisions([make.decision(86_400)])
    await anew.close()
    with pytest.raises(HistoryError, match=r"the database begins at .* another history"):
        await asyncio.to_thread(make_backup, empty_url, head(), plant, tmp_path, quiet)
    assert {copy.key for copy in read_list(tmp_path / "buckets" / "plant")} == set(kept)
    assert read_backup(tmp_path).first_part_at is not None


@settings(max_examples=30)
@given(st.text(min_size=1))
def test_no_key_names_a_place_outside_the_backup(key: str) -> None:
    copy = ObjectCopy(key=key, sha256="ab" * 32, size=1, content_type="", written=0.0)
    assert copy.file(Path("/b")) == Path("/b/objects/ab") / ("ab" * 32)
    assert ObjectCopy.model_validate_json(copy.model_dump_json()) == copy


def test_a_dump_that_cannot_be_made_says_why_and_shows_no_password(tmp_path: Path) -> None:
    away = "postgresql+asyncpg://andon:hush@127.0.0.1:1/andon"
    with pytest.raises(HistoryError, match=r"pg_dump failed: .*refused") as caught:
        dump_database(away, tmp_path / DUMP)
    assert "hush" not in str(caught.value)
    with pytest.raises(UnavailableError):
        make_backup(away, head(), {}, tmp_path, quiet)
    assert not (tmp_path / ABOUT).exists()


def test_over_tls_the_tools_on_the_path_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the wheel know no TLS, and are taken where nothing asks for it."""
    own = tmp_path / "bin" / "pg_dump"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\necho 'error: the one on the path' >&2; exit 1\n")
    own.chmod(0o755)
    plain = "postgresql://andon:hush@127.0.0.1:1/andon"
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(own.parent), prepend=os.pathsep)
        for mode in ("require", "verify-full"):
            with pytest.raises(HistoryError, match="the one on the path"):
                dump_database(f"{plain}?sslmode={mode}", tmp_path / DUMP)
        with pytest.raises(HistoryError, match="refused"):
            dump_database(plain, tmp_path / DUMP)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HistoryError, match=r"know no TLS: put PostgreSQL's client tools"):
        dump_database(f"{plain}?sslmode=require", tmp_path / DUMP)
