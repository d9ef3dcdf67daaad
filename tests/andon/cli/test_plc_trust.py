"""``andon plc trust``: certificates are made, exchanged, accepted and rejected, without the lab."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from andon.settings import load_settings
from connectors.errors import CertificateRefusedError
from connectors.opcua.secured import connected
from connectors.opcua.server_security import ServerSecurity, read_security
from connectors.pki.certificates import read_certificates, thumbprint
from connectors.pki.folder import PkiFolder
from connectors.pki.trust import Expected, TrustList, refusal
from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from lab.plc.opcua_server import SignalServer
from streams.errors import AndonError
from tests.connectors.authorities import own


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANDON_GATEWAY__SECURITY_POLICY", "Basic256Sha256")
    load_settings.cache_clear()
    yield tmp_path
    load_settings.cache_clear()


@pytest.fixture
def controller(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SignalServer]:
    """A secured controller in a thread of its own: the commands have loops of theirs."""
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    monkeypatch.setenv("ANDON_GATEWAY__PLC_URL", url)
    pki = PkiFolder(here / "controller")
    pki.keep_identity(own())
    server = SignalServer(url, lambda _: None, security=ServerSecurity(pki))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: str) -> None:
        asyncio.run_coroutine_threadsafe(getattr(server, work)(), loop).result(60)

    try:
        run("open")
        run("listen")
        yield server
    finally:
        run("close")
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["plc", "trust", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


async def connects() -> bool:
    settings: GatewaySettings = load_settings().gateway
    wide = settings.model_copy(update={"plc_timeout_s": 10.0})
    async with connected(wide, "test"):
        return True


def test_both_sides_come_to_trust_each_other(controller: SignalServer, here: Path) -> None:
    made = json.loads(run("make", "--json"))
    assert json.loads(run("show", "--json"))["thumbprint"] == made["thumbprint"]
    run("export", "gateway.pem")
    exported = read_certificates(Path("gateway.pem").read_bytes(), "it")[0]
    assert thumbprint(exported) == made["thumbprint"]
    assert controller.security is not None
    controller.security.pki.put("trusted", exported)

    fetched = json.loads(run("fetch", "--json"))
    theirs = thumbprint(own().certificate)
    assert (fetched["thumbprint"], fetched["place"]) == (theirs, "rejected")
    with pytest.raises(CertificateRefusedError, match=f"andon plc trust accept {theirs}"):
        asyncio.run(connects())
    # as people copy it: with signs between, in small letters
    run("accept", ":".join(theirs[i : i + 2] for i in range(0, 40, 2)).lower())
    assert asyncio.run(connects())
    assert json.loads(run("fetch", "--json"))["place"] == "trusted"
    run("reject", theirs)
    listed = json.loads(run("list", "--json"))
    assert [(row["place"], row["thumbprint"]) for row in listed] == [("rejected", theirs)]
    with pytest.raises(CertificateRefusedError):
        asyncio.run(connects())


def test_a_certificate_is_made_once(here: Path) -> None:
    first = json.loads(run("make", "--json", "--host", "10.0.0.7", "--host", "edge-7"))
    assert first["hosts"] == ["edge-7", "10.0.0.7"]
    assert json.loads(run("make", "--json"))["thumbprint"] == first["thumbprint"]
    assert json.loads(run("make", "--json", "--again"))["thumbprint"] != first["thumbprint"]
    key = load_settings().gateway.pki_dir / "own" / "key.pem"
    assert key.stat().st_mode & 0o077 == 0


def test_a_file_is_accepted_as_an_issuer(here: Path) -> None:
    run("make")
    run("export", "some.der")
    assert json.loads(run("accept", "some.der", "--issuer", "--json"))["place"] == "issuers"


@pytest.mark.parametrize("words", [["accept", "ABCD"], ["show"], ["export", "a.der"]])
def test_what_cannot_be_done_names_the_command(here: Path, words: list[str]) -> None:
    with pytest.raises(AndonError, match=r"andon plc trust|cannot be read"):
        run(*words)


def test_no_laboratory_is_needed(here: Path) -> None:
    script = (
        "import sys; sys.modules['lab'] = None\n"
        "import andon.__main__ as m\n"
        "m.app(['plc', 'trust', 'make'])"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=here)


def test_a_server_of_ours_without_a_certificate_says_how_to_make_one(here: Path) -> None:
    folder = here / "controller"
    with pytest.raises(AndonError, match=f"andon plc trust make --server {folder}"):
        read_security(folder)
    result = CliRunner().invoke(app, ["plc", "trust", "make", "--server", str(folder)])
    assert result.exit_code == 0, result.output
    made = read_security(folder).pki.identity()
    assert made.uri.endswith(":andon:server")
    trusting, expected = TrustList([made.certificate]), Expected("server", made.uri, "127.0.0.1")
    assert refusal([made.certificate], trusting, expected, datetime.now(UTC)) is None
    assert not PkiFolder(load_settings().gateway.pki_dir).has_identity
