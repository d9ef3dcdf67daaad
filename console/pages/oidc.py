"""Logging in and out at the plant's OpenID Connect provider."""

from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from console.identity import deed_of
from console.oidc import COOKIE, OidcRefusedError, SingleSignOn, Vouched
from console.parts import ConsoleParts
from console.rendering import Renderer, own_path
from console.sessions import open_session
from history.accounts import ConsoleUser
from streams.names import fault_of, normal_form

KEPT: Final = "!oidc"
"""Stands for the password of a person whom the provider vouches for; no password has this hash."""


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""

    def provider() -> SingleSignOn:
        if parts.sign_on is None:
            raise HTTPException(404, "no OpenID Connect provider is named in the settings")
        return parts.sign_on

    @app.get("/oidc/start", include_in_schema=False)
    async def start(request: Request) -> Response:
        """To the provider."""
        there = own_path(request.query_params.get("next", "/"))
        return await provider().begin(request, str(request.url_for("come_back")), there)

    @app.get("/oidc/back", include_in_schema=False, name="come_back")
    async def back(request: Request) -> Response:
        """From the provider: a session for whom it vouches for and who has a role here."""
        try:
            vouched, there = await provider().finish(request)
        except OidcRefusedError as error:
            return await _refused(request, parts, renderer, "", "login.sso_no", str(error))
        account, problem = await _account(request, parts, vouched)
        if account is None:
            return await _refused(request, parts, renderer, vouched.name, problem, problem)
        answer = await open_session(request, parts, account, own_path(there), "oidc")
        answer.delete_cookie(COOKIE)
        return answer

    @app.get("/oidc/out", include_in_schema=False)
    async def out(request: Request) -> Response:
        """To the provider's own logout, where it has one."""
        home = str(request.url_for("ask"))
        return RedirectResponse(await provider().leave(home) or "/login", 303)


async def _account(
    request: Request, parts: ConsoleParts, vouched: Vouched
) -> tuple[ConsoleUser | None, str]:
    """The person's account, made or changed as the provider says; else the text that says why not.

    A name that has a password here is never taken over.
    """
    name, role = normal_form(vouched.name), vouched.role
    if fault_of(name):
        return None, "login.sso_no"
    if role is None:
        return None, "login.sso_role"
    found = await parts.accounts.find(name)
    deed = deed_of(request, name, "user.add", name, login="oidc", after=role.value)
    if found is None:
        await parts.accounts.add(ConsoleUser(name=name, role=role), KEPT, deed)
        return ConsoleUser(name=name, role=role), ""
    account, kept = found
    if kept != KEPT:
        return None, "login.sso_local"
    if account.is_disabled:
        return None, "login.sso_no"
    if account.role != role.value:
        change = {"action": "user.role", "before": account.role}
        await parts.accounts.set_role(name, role.value, deed.model_copy(update=change))
    return account.model_copy(update={"role": role.value}), ""


async def _refused(
    request: Request, parts: ConsoleParts, renderer: Renderer, name: str, key: str, why: str
) -> Response:
    deed = deed_of(request, name or "somebody", "login.refused", login="oidc", reason=why)
    await parts.audit.append(deed)
    values = {"next": "/", "problem": key, "seconds": 0}
    return renderer.page(request, "login.html", 401, **values)
