"""The commands of long-running processes, up to where they would serve."""

import asyncio

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from typer.testing import CliRunner
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from andon import log
from andon.cli import console, gateway, vision_server, worker
from andon.processes import gateway as gateway_process
from andon.processes import vision_server as vision_process
from andon.processes import worker as worker_process
from andon.settings import Settings, SettingsError, load_settings

runner = CliRunner()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands configure the logging of a whole process, which is not theirs here."""
    monkeypatch.setattr(log, "configure_logging", lambda *_: None)


def test_the_console_serves_the_history_s_api(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[FastAPI, object]] = []
    monkeypatch.setattr(uvicorn, "run", lambda web, **how: served.append((web, how["port"])))
    done = runner.invoke(console.app, ["--port", "8081"])
    assert done.exit_code == 0, done.output
    ((web, port),) = served
    assert port == 8081
    assert "/api/frames" in web.openapi()["paths"]


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [(None, ("10.1.2.3", "http")), ('["10.1.0.0/16"]', ("192.0.2.7", "https"))],
)
def test_a_proxy_that_is_trusted_says_who_came_and_by_tls(
    monkeypatch: pytest.MonkeyPatch, trusted: str | None, seen: tuple[str, str]
) -> None:
    """Everybody came from the proxy: one who tried passwords slowed all others down, and no cookie
    was marked to travel by TLS alone."""
    served: list[dict[str, object]] = []
    monkeypatch.setattr(uvicorn, "run", lambda web, **how: served.append(how))
    if trusted is not None:
        monkeypatch.setenv("ANDON_CONSOLE__TRUSTED_PROXIES", trusted)
    load_settings.cache_clear()
    assert runner.invoke(console.app, []).exit_code == 0
    found: list[tuple[str, str]] = []

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        found.append((scope["client"][0], scope["scheme"]))

    said = [(b"x-forwarded-for", b"198.51.100.1, 192.0.2.7"), (b"x-forwarded-proto", b"https")]
    scope = {"type": "http", "scheme": "http", "client": ("10.1.2.3", 4000), "headers": said}
    hosts = served[0]["forwarded_allow_ips"]
    asyncio.run(ProxyHeadersMiddleware(asked, hosts)(scope, None, None))  # type: ignore[arg-type]
    assert found == [seen]
    load_settings.cache_clear()


def test_a_proxy_is_an_address_or_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_CONSOLE__TRUSTED_PROXIES", '["*"]')
    load_settings.cache_clear()
    with pytest.raises(SettingsError, match=r"TRUSTED_PROXIES: '\*' does not appear to be"):
        load_settings()
    load_settings.cache_clear()


def test_the_gateway_s_options_replace_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Settings] = []

    async def run_gateway(settings: Settings) -> None:
        given.append(settings)

    monkeypatch.setattr(gateway_process, "run_gateway", run_gateway)
    done = runner.invoke(gateway.app, ["--line", "l7", "--camera", "synthetic:seed=3"])
    assert done.exit_code == 0, done.output
    own = given[0].gateway
    assert (own.line, own.station, own.camera) == ("l7", "station1", "synthetic:seed=3")
    wrong = runner.invoke(gateway.app, ["--line", "a/b"])
    assert isinstance(wrong.exception, SettingsError)


def test_the_vision_server_s_options_replace_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Settings] = []

    async def run_vision_server(settings: Settings) -> None:
        given.append(settings)

    monkeypatch.setattr(vision_process, "run_vision_server", run_vision_server)
    done = runner.invoke(vision_server.app, ["--line", "l7", "--url", "opc.tcp://127.0.0.1"])
    assert done.exit_code == 0, done.output
    assert (given[0].gateway.line, given[0].vision.url) == ("l7", "opc.tcp://127.0.0.1")
    wrong = runner.invoke(vision_server.app, ["--url", "opc.tcp://0.0.0.0:4840"])
    assert isinstance(wrong.exception, SettingsError)
    assert "pki_dir" in str(wrong.exception)


def test_a_worker_takes_one_of_the_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    roles: list[str] = []

    async def run_worker(role: str, settings: Settings) -> None:
        roles.append(role)

    monkeypatch.setattr(worker_process, "run_worker", run_worker)
    assert runner.invoke(worker.app, ["limits"]).exit_code == 0
    assert runner.invoke(worker.app, ["paint"]).exit_code == 2
    assert roles == ["limits"]
