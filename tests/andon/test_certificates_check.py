"""`andon doctor certificates` says of each certificate when it ends, before it does."""

import asyncio
import datetime as dt
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from andon.checks import examine
from andon.checks.certificates import Ending, said_of
from andon.checks.findings import CheckFailed, CheckWarned, Finding
from andon.settings import Settings
from andon.wiring.exposition import of_all
from connectors.opcua.secured import pki_of
from infra.stack import certificates
from infra.stack.certificates import KeyPair, LocalAuthority
from infra.stack.process import free_port
from streams.exposition import CERTIFICATE

NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
LOGIN = {"security_protocol": "SASL_SSL", "username": "a", "password": "b"}


def ending(days: float, needed: bool = True) -> Ending:
    return Ending("this one", NOW + dt.timedelta(days=days), needed)


def test_what_ends_soon_warns_and_what_ended_fails_where_it_is_needed() -> None:
    assert said_of([], NOW) == "none is used"
    assert said_of([ending(400), ending(31)], NOW) == "2; this one ends first, in 31 days"
    with pytest.raises(CheckWarned, match="this one ends in 29 days"):
        said_of([ending(400), ending(29.5)], NOW)
    with pytest.raises(CheckFailed, match=r"this one ended on 2026-11-29; this one ends in 2 days"):
        said_of([ending(-1), ending(2.5)], NOW)
    assert "ends first" in said_of([ending(-1, needed=False), ending(50)], NOW)


def issued(folder: Path, name: str, days: int, monkeypatch: pytest.MonkeyPatch) -> KeyPair:
    """A pair that ends in so many days; of -1, one that ended half an hour ago."""
    life = dt.timedelta(days=days, hours=1) if days >= 0 else dt.timedelta(minutes=-30)
    with monkeypatch.context() as patched:
        patched.setattr(certificates, "LIFE", life)
        return LocalAuthority(folder).open().issue(name)


def asked(**sections: object) -> Finding:
    (found,) = asyncio.run(examine(Settings.model_validate(sections), ["certificates"]))
    return found


def test_files_of_the_settings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = LocalAuthority(tmp_path).open().ca
    pair = issued(tmp_path, "client", 9, monkeypatch)
    late = issued(tmp_path / "late", "late", -1, monkeypatch)
    nobody = f"127.0.0.1:{free_port()}"
    url = f"postgresql://{nobody}/andon?sslmode=verify-full&sslrootcert={ca}&sslcert={pair.cert}"
    kafka = {"bootstrap_servers": nobody, "ca_file": ca, **LOGIN}
    found = asked(kafka=kafka, postgres={"url": url})
    assert found.warns
    assert f"sslcert of ANDON_POSTGRES__URL ({pair.cert}) ends in 9 days" in found.detail
    mixed = tmp_path / "both.pem"  # an authority that was renewed, beside the one before
    mixed.write_bytes(late.cert.read_bytes() + ca.read_bytes())
    fine = asked(kafka=kafka | {"ca_file": mixed})
    assert (fine.ok, fine.warns) == (True, False)
    ended = asked(kafka=kafka | {"ca_file": late.cert})
    assert not ended.ok
    assert "ANDON_KAFKA__CA_FILE" in ended.detail
    assert "docs/security.md" in ended.remedy


def test_certificates_of_opc_ua_count_where_it_is_secured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = issued(tmp_path, "plc", 3, monkeypatch)
    gateway = {"pki_dir": tmp_path / "pki", "plc_url": f"opc.tcp://127.0.0.1:{free_port()}"}
    own = pki_of(Settings.model_validate({"gateway": gateway}).gateway).certificate_file
    for file in (own, tmp_path / "pki" / "trusted" / "plc.pem"):
        file.parent.mkdir(parents=True)
        file.write_bytes(pair.cert.read_bytes())
    assert asked(gateway=gateway).detail == "none is used"
    found = asked(gateway=gateway | {"security_policy": "Basic256Sha256"})
    assert found.warns
    assert "the gateway's own for OPC UA" in found.detail
    assert "trusted for OPC UA (CN=plc) ends in 3 days" in found.detail


def test_each_process_tells_prometheus_when_its_certificates_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = LocalAuthority(tmp_path).open().ca
    pair = issued(tmp_path, "plc", 3, monkeypatch)
    old = issued(tmp_path / "old", "old", -1, monkeypatch)
    trusted = tmp_path / "pki" / "trusted"
    trusted.mkdir(parents=True)
    for name, one in (("plc", pair), ("old", old)):
        (trusted / f"{name}.pem").write_bytes(one.cert.read_bytes())
    settings = Settings.model_validate(
        {
            "kafka": {"ca_file": ca, **LOGIN},
            "gateway": {"pki_dir": tmp_path / "pki", "security_policy": "Basic256Sha256"},
        }
    )
    told = of_all(settings, lambda: {"the controller": NOW})[CERTIFICATE]
    left = {name.partition(" (")[0]: end - time.time() for (name,), end in told().items()}
    assert left.keys() == {"ANDON_KAFKA__CA_FILE", "trusted for OPC UA", "the controller"}
    assert 2 < left["trusted for OPC UA"] / 86400 < 4, "and not the old one, which nobody needs"
    (trusted / "plc.pem").write_text("no certificate")
    assert told()[("the controller",)] == NOW.timestamp()


@asynccontextmanager
async def served(pair: KeyPair, asks_first: bool) -> AsyncIterator[int]:
    """The port of a server of TLS, at once or after PostgreSQL's request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if asks_first:
            assert await reader.readexactly(8) == bytes((0, 0, 0, 8, 4, 210, 22, 47))
            writer.write(b"S")
            await writer.start_tls(context)
        writer.close()

    tls = None if asks_first else context
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


Sections = Callable[[int], dict[str, object]]


@pytest.mark.parametrize(
    ("named", "asks_first", "sections"),
    [
        ("Kafka's", False, lambda p: {"kafka": {"bootstrap_servers": f"127.0.0.1:{p}", **LOGIN}}),
        ("the object store's", False, lambda p: {"s3": {"endpoint": f"https://127.0.0.1:{p}"}}),
        ("MQTT's", False, lambda p: {"mqtt": {"url": f"mqtts://127.0.0.1:{p}"}}),
        (
            "PostgreSQL's",
            True,
            lambda p: {"postgres": {"url": f"postgresql://127.0.0.1:{p}/a?sslmode=require"}},
        ),
    ],
)
def test_servers_are_asked_what_they_show(
    named: str,
    asks_first: bool,
    sections: Sections,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = issued(tmp_path, "server", 12, monkeypatch)

    async def ask() -> list[Finding]:
        async with served(pair, asks_first) as port:
            return await examine(Settings.model_validate(sections(port)), ["certificates"])

    (found,) = asyncio.run(ask())
    assert found.warns
    assert found.detail.startswith(named)
    assert found.detail.endswith("certificate ends in 12 days")
