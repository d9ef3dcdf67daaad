"""Logging in at an OpenID Connect provider: oidc-provider-mock, our pages, the real database."""

import warnings
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import ValidationError

from console.access import ConsoleRole
from console.app import build_app
from console.oidc import SingleSignOn, role_of
from console.oidc_settings import OidcSettings
from history.accounts import Accounts, ConsoleUser
from history.console_audit import ConsoleAudit
from tests.console.make import BASE, DEED, client_of, parts_of

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the provider
    pytest.mark.skipif(
        find_spec("oidc_provider_mock") is None or find_spec("authlib") is None,
        reason="oidc-provider-mock is not installed: `make setup` does",
    ),
]
ROLES = {"line": ConsoleRole.OPERATOR, "quality": ConsoleRole.QUALITY}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own libraries
        from oidc_provider_mock import run_server_in_thread

        with run_server_in_thread() as server:
            yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def sign_on(provider: str) -> SingleSignOn:
    return SingleSignOn(
        OidcSettings(issuer=provider, client_secret="s3cret", roles=ROLES, name="Plant")
    )


@pytest.fixture
def app(accounts: Accounts, audit: ConsoleAudit, sign_on: SingleSignOn) -> FastAPI:
    return build_app(parts_of(accounts=accounts, audit=audit, sign_on=sign_on))


@pytest_asyncio.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, None, headers={"Origin": BASE, "Accept": "text/html"}) as made:
        yield made


async def known(provider: str, sub: str, name: str, *groups: str) -> None:
    async with httpx.AsyncClient() as client:
        claims = {"preferred_username": name, "groups": list(groups)}
        answer = await client.put(f"{provider}/users/{sub}", json=claims)
        assert answer.status_code == 204


async def at_provider(browser: httpx.AsyncClient, sub: str, there: str = "/live") -> str:
    """Begin at the console and agree at the provider; where that sends the browser back to."""
    begun = await browser.get(f"/oidc/start?next={there}")
    assert begun.status_code == 302
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    async with httpx.AsyncClient() as client:
        answer = await client.post(begun.headers["location"], data={"sub": sub})
    assert answer.status_code == 302
    return answer.headers["location"].removeprefix(BASE)


async def test_a_person_comes_in_with_the_role_of_their_groups_and_goes(
    browser: httpx.AsyncClient, provider: str, accounts: Accounts, audit: ConsoleAudit
) -> None:
    assert "Log in with Plant" in (await browser.get("/login")).text
    await known(provider, "a1", "ada", "line", "choir")
    back = await at_provider(browser, "a1")
    came = await browser.get(back)
    assert (came.status_code, came.headers["location"]) == (303, "/live")
    assert (await browser.get("/live")).status_code == 200
    assert (await browser.get("/audit")).status_code == 403
    await known(provider, "a1", "ada", "line", "quality")
    await browser.get(await at_provider(browser, "a1"))
    assert (await browser.get("/audit")).status_code == 200, "another group is another role"
    out = await browser.post("/logout")
    assert out.headers["location"] == "/login?left=oidc"
    assert "/oidc/out" in (await browser.get("/login?left=oidc")).text
    assert (await browser.get("/oidc/out")).status_code == 303
    rows = [(row.action, row.login) for row in await audit.latest()]
    assert rows[::-1] == [
        ("user.add", "oidc"),
        ("login", "oidc"),
        ("user.role", "oidc"),
        ("login", "oidc"),
        ("logout", "oidc"),
    ]
    assert (
        await browser.post("/login", data={"name": "ada", "password": "!oidc"})
    ).status_code == 401


async def test_what_was_begun_elsewhere_or_twice_lets_nobody_in(
    app: FastAPI, browser: httpx.AsyncClient, provider: str, audit: ConsoleAudit
) -> None:
    await known(provider, "b1", "bob", "line")
    back = await at_provider(browser, "b1")
    async with client_of(app, None, headers={"Accept": "text/html"}) as other:
        assert (await other.get(back)).status_code == 401, "another browser"
        await at_provider(other, "b1")
        assert (await other.get(back)).status_code == 401, "the state of another login"
    assert (await browser.get(back)).status_code == 303
    assert (await browser.get(back)).status_code == 401, "a second time"
    assert {row.action for row in await audit.latest(3)} >= {"login.refused"}


async def test_who_has_no_role_or_a_password_here_stays_out(
    browser: httpx.AsyncClient, provider: str, accounts: Accounts
) -> None:
    await known(provider, "c1", "carl", "choir")
    refused = await browser.get(await at_provider(browser, "c1"))
    assert (refused.status_code, "none of your groups" in refused.text) == (401, True)
    assert await accounts.find("carl") is None
    await accounts.add(ConsoleUser(name="admin", role="admin"), "a hash", DEED)
    await known(provider, "c2", "admin", "line")
    refused = await browser.get(await at_provider(browser, "c2"))
    assert (refused.status_code, "has a password here" in refused.text) == (401, True)
    await known(provider, "c3", "carl", "line")
    await browser.get(await at_provider(browser, "c3"))
    await accounts.set_disabled("carl", True, DEED)
    assert (await browser.get(await at_provider(browser, "c3"))).status_code == 401


async def test_a_provider_that_is_away_is_said(accounts: Accounts, audit: ConsoleAudit) -> None:
    nobody = OidcSettings(issuer="http://127.0.0.1:9", roles=ROLES, timeout_s=1)
    app = build_app(parts_of(accounts=accounts, audit=audit, sign_on=SingleSignOn(nobody)))
    async with client_of(app, None) as client:
        assert (await client.get("/oidc/start")).status_code == 503


async def test_without_a_provider_there_is_no_such_page(accounts: Accounts) -> None:
    async with client_of(build_app(parts_of(accounts=accounts)), None) as client:
        for path in ("start", "back", "out"):
            assert (await client.get(f"/oidc/{path}")).status_code == 404


async def test_the_settings_say_what_is_wrong() -> None:
    for given, words in (
        ({"issuer": "http://login.plant", "roles": ROLES}, "https://"),
        ({"issuer": "https://login.plant"}, "roles"),
        ({"issuer": "https://login.plant", "roles": {"a": "king"}}, "king"),
        ({"issuer": "https://login.plant", "roles": ROLES, "scopes": "email"}, "openid"),
    ):
        with pytest.raises(ValidationError, match=words):
            OidcSettings.model_validate(given)
    assert role_of(["quality", "line"], ROLES) is ConsoleRole.QUALITY
