"""What only a real object store can do: vanish, hang, refuse."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from history.object_store import S3ImageStore, S3Objects
from infra.stack.certificates import LocalAuthority
from infra.stack.process import free_port
from infra.stack.s3_local import LocalS3, start_s3
from streams.errors import UnavailableError
from streams.failures import Cause, TransientError
from tests.contracts.refusing_s3 import refusing_s3


def objects_in(server: LocalS3, bucket: str, timeout_s: float = 5.0) -> S3Objects:
    return S3Objects(
        server.endpoint,
        server.access_key,
        server.secret_key,
        bucket=bucket,
        timeout_s=timeout_s,
    )


def test_a_bucket_removed_behind_our_back_is_made_again(s3: LocalS3) -> None:
    objects = objects_in(s3, "removed")
    assert not objects.has_bucket()
    objects.put("a", b"1")
    objects._client.remove_object("removed", "a")
    objects._client.remove_bucket("removed")
    objects.put("a", b"2")
    assert objects.get("a") == b"2"
    other = objects_in(s3, "removed")
    other.ensure_bucket()
    assert other.exists("a")


def test_a_bucket_that_this_key_may_not_make_is_waited_for() -> None:
    """As with the rights of `history/s3/record.json`: every picture became a dead letter."""
    with refusing_s3() as server:
        objects = S3Objects(server.address, "a", "b")
        server.refuses |= {"/andon/inspections/a": 404, "/andon": 403}
        with pytest.raises(TransientError, match="no such bucket, and this key may not") as caught:
            objects.put("inspections/a", b"1")
        assert caught.value.cause is Cause.NOT_PREPARED
        server.refuses.pop("/andon/inspections/a")  # somebody made it
        objects.put("inspections/a", b"1")
        assert server.objects["/andon/inspections/a"] == b"1"
        objects.close()


@pytest.mark.asyncio
async def test_a_store_that_is_down_is_unavailable_in_time_and_then_works(scratch: Path) -> None:
    server = start_s3(scratch / "s3")
    store = S3ImageStore(objects_in(server, "plant", timeout_s=2.0))
    await store.put("a", b"x", "image/png")
    server.kill()
    for call in (store.put("b", b"y", "image/png"), store.get("a"), store.exists("a")):
        with pytest.raises(UnavailableError, match=server.endpoint):
            async with asyncio.timeout(3.0):
                await call
    with start_s3(scratch / "s3", server.port):
        await store.put("b", b"y", "image/png")
        assert await store.get("a") == b"x"
        await store.close()


@pytest.mark.asyncio
async def test_a_store_that_accepts_and_never_answers_is_unavailable_in_time() -> None:
    port = free_port()
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, w: held.append(w), "127.0.0.1", port)
    store = S3ImageStore(S3Objects(f"127.0.0.1:{port}", "a", "b", timeout_s=1.0))
    with pytest.raises(UnavailableError):
        async with asyncio.timeout(2.0):
            await store.get("a")
    await store.close()
    silent.close()
    for writer in held:
        writer.close()


@pytest.mark.asyncio
async def test_a_wrong_secret_is_unavailable_and_not_shown(s3: LocalS3) -> None:
    store = S3ImageStore(S3Objects(s3.endpoint, s3.access_key, "wrong-secret", timeout_s=2.0))
    with pytest.raises(UnavailableError) as caught:
        await store.put("a", b"x", "image/png")
    assert "wrong-secret" not in str(caught.value)
    await store.close()


def test_an_s3_that_is_away_is_said_to_be() -> None:
    objects = S3Objects(f"127.0.0.1:{free_port()}", "a", "b", prefix="artifacts/", timeout_s=1)
    with pytest.raises(UnavailableError, match="s3://andon/artifacts/"):
        objects.keys("")


class _NoBucket(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An object store without a bucket over TLS: its endpoint, and its own authority's file."""
    authority = LocalAuthority(tmp_path / "ca").open()
    pair = authority.issue("s3")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _NoBucket) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}", authority.ca
        server.shutdown()
        thread.join()


def test_the_plants_own_authority_is_named_in_the_environment(
    encrypted: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, ca = encrypted
    stranger = S3Objects(endpoint, "a", "b", secure=True)
    with pytest.raises(
        UnavailableError, match=r"not trusted: .*; name the PEM file .* SSL_CERT_FILE"
    ):
        stranger.has_bucket()
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    known = S3Objects(endpoint, "a", "b", secure=True)
    assert not known.has_bucket()
    for one in (stranger, known):
        one.close()
