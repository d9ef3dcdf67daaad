"""Logging in and out, changing a password, choosing language and theme."""

import math
from contextlib import suppress
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from console.credentials import (
    LEAST_LENGTH,
    MOST_LENGTH,
    is_password,
    password_hash,
)
from console.forms import form_of
from console.identity import COOKIE, TERMINAL_COOKIE, Gatekeeper, deed_of, who_of
from console.parts import ConsoleParts
from console.rendering import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, Renderer, own_path
from console.sessions import open_session, people_with_pins
from console.texts import LANGUAGES
from console.throttle import Throttle, wait_everywhere
from streams.errors import UnavailableError

_YEAR_S: Final = 31_536_000


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""
    throttle = Throttle()
    _add_login(app, parts, renderer, throttle)
    _add_password(app, parts, renderer, throttle)
    _add_preferences(app)


def _add_login(app: FastAPI, parts: ConsoleParts, renderer: Renderer, throttle: Throttle) -> None:
    @app.get("/login", include_in_schema=False)
    async def ask(request: Request) -> Response:
        """Who are you?"""
        keeper: Gatekeeper = request.app.state.gatekeeper
        with suppress(UnavailableError):
            if await keeper.terminal(request.cookies.get(TERMINAL_COOKIE)) is not None:
                people = await people_with_pins(parts.accounts)
                return renderer.page(request, "login.html", 200, **_asked(request), people=people)
        return renderer.page(request, "login.html", 200, **_asked(request))

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request) -> Response:
        """A new session, where name and password are right."""
        form = await form_of(request)
        name, password = form.get("name", "")[:128], form.get("password", "")[:MOST_LENGTH]
        there = own_path(form.get("next", "/"))
        address = request.client.host if request.client else ""
        keys = f"name {name}", f"address {address}"
        wait_s = throttle.wait_s(*keys)
        if (wait_s := max(wait_s, await wait_everywhere(parts.audit, name, address))) > 0:
            values = {"next": there, "problem": "login.wait", "seconds": math.ceil(wait_s)}
            return renderer.page(request, "login.html", 429, **values)
        throttle.failed(*keys)  # before the hash is reckoned, so that tries at once count too
        found = await parts.accounts.find(name)
        account, kept = found if found else (None, None)
        is_right = await is_password(kept, password)
        if account is None or not is_right or account.is_disabled:
            await parts.audit.append(deed_of(request, name, "login.refused", login="password"))
            values = {"next": there, "problem": "login.wrong", "seconds": 0}
            return renderer.page(request, "login.html", 401, **values)
        throttle.succeeded(keys[0])
        return await open_session(request, parts, account, there)

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        """The session opens nothing any more."""
        who = who_of(request)
        await parts.accounts.end(who.secret_hash, who.deed(request, "logout"))
        answer = RedirectResponse("/login?left=oidc" if who.way == "oidc" else "/login", 303)
        answer.delete_cookie(COOKIE)
        return answer


def _add_password(
    app: FastAPI, parts: ConsoleParts, renderer: Renderer, throttle: Throttle
) -> None:
    @app.get("/password", include_in_schema=False)
    def ask_password(request: Request) -> Response:
        """The form that changes one's own password."""
        return renderer.page(request, "password.html", problem="", least=LEAST_LENGTH)

    @app.post("/password", include_in_schema=False)
    async def change_password(request: Request) -> Response:
        """Another password of one's own; every other session of the person ends."""
        who, form = who_of(request), await form_of(request)
        found = None if who.is_token else await parts.accounts.find(who.name)
        account, kept = found if found else (None, None)
        new, old = form.get("new", ""), form.get("old", "")[:MOST_LENGTH]
        problem = _problem(old, new, form.get("again", ""))
        key = f"change {who.name}"
        if (
            not problem
            and max(throttle.wait_s(key), await wait_everywhere(parts.audit, who.name)) > 0
        ):
            problem = "login.many"
        if not problem and (account is None or not await is_password(kept, old)):
            throttle.failed(key)
            await parts.audit.append(who.deed(request, "password.refused", who.name))
            problem = "password.wrong"
        if problem or account is None:
            values = {"problem": problem, "least": LEAST_LENGTH}
            return renderer.page(request, "password.html", 422, **values)
        deed = who.deed(request, "user.password", who.name)
        await parts.accounts.set_password(who.name, await password_hash(new), deed)
        return await open_session(request, parts, account, "/")


def _add_preferences(app: FastAPI) -> None:
    @app.post("/preferences", include_in_schema=False)
    async def prefer(request: Request) -> Response:
        """Keeps language and theme in the browser."""
        form = await form_of(request)
        answer = RedirectResponse(own_path(form.get("back", "/")), 303)
        for field, cookie, known in (
            ("language", LANGUAGE_COOKIE, LANGUAGES),
            ("theme", THEME_COOKIE, THEMES),
        ):
            if (chosen := form.get(field, "")) in known:
                answer.set_cookie(cookie, chosen, _YEAR_S, httponly=True, samesite="lax")
        return answer


def _asked(request: Request) -> dict[str, object]:
    left = request.query_params.get("left") == "oidc"
    return {"next": own_path(request.query_params.get("next", "/")), "problem": "", "left": left}


def _problem(old: str, new: str, again: str) -> str:
    """The key of the text that says what is wrong with a new password; empty for none."""
    if not LEAST_LENGTH <= len(new) <= MOST_LENGTH:
        return "password.short"
    if new != again:
        return "password.differs"
    return "password.same" if new == old else ""
