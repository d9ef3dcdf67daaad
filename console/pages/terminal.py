"""Screens on the wall and shared terminals: what a browser is, and coming in with a PIN."""

import math
from datetime import UTC, datetime
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from console.credentials import (
    LEAST_LENGTH,
    MOST_LENGTH,
    PIN_LENGTHS,
    is_password,
    is_weak_pin,
    password_hash,
    secret_hash,
)
from console.forms import form_of
from console.identity import COOKIE, TERMINAL_COOKIE, Gatekeeper, deed_of, who_of
from console.parts import ConsoleParts
from console.rendering import Renderer, own_path
from console.sessions import open_session, people_with_pins, set_secret
from console.throttle import Throttle, wait_everywhere

DROPPED_AFTER: Final = 10
"""Wrong PINs in a row after which a PIN is no more: its owner chooses another one. The audit counts
them, whichever console was asked, and however often one was started again."""


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""
    throttle = Throttle()
    _add_browser(app, parts, renderer, throttle)
    _add_pin(app, parts, renderer, throttle)
    _add_choice(app, parts, renderer, throttle)


def _add_browser(app: FastAPI, parts: ConsoleParts, renderer: Renderer, throttle: Throttle) -> None:
    @app.get("/terminal", include_in_schema=False)
    def ask_code(request: Request) -> Response:
        """What is this browser?"""
        return renderer.page(request, "terminal.html", problem="", seconds=0)

    @app.post("/terminal", include_in_schema=False)
    async def become(request: Request) -> Response:
        """A screen on the wall, or a shared terminal, where the code is one's."""
        form = await form_of(request)
        secret = form.get("code", "").strip()[:MOST_LENGTH]
        key = f"address {request.client.host if request.client else ''}"
        if (wait_s := throttle.wait_s(key)) > 0:
            values = {"problem": "login.wait", "seconds": math.ceil(wait_s)}
            return renderer.page(request, "terminal.html", 429, **values)
        login = await parts.accounts.login(secret_hash(secret)) if secret else None
        if login is None or login.way not in ("wall", "terminal"):
            throttle.failed(key)
            await parts.audit.append(deed_of(request, "somebody", "terminal.refused"))
            values = {"problem": "terminal.wrong", "seconds": 0}
            return renderer.page(request, "terminal.html", 401, **values)
        await parts.audit.append(deed_of(request, login.actor, f"{login.way}.open", login.label))
        is_wall = login.way == "wall"
        answer = RedirectResponse("/live" if is_wall else "/login", 303)
        lasts = login.expires_at - datetime.now(UTC)
        set_secret(request, answer, COOKIE if is_wall else TERMINAL_COOKIE, secret, lasts)
        return answer


def _add_pin(app: FastAPI, parts: ConsoleParts, renderer: Renderer, throttle: Throttle) -> None:
    @app.post("/terminal/login", include_in_schema=False)
    async def come_in(request: Request) -> Response:
        """A short session on this terminal, where the PIN is right."""
        form, keeper = await form_of(request), _keeper(request)
        name, there = form.get("name", "")[:128], own_path(form.get("next", "/"))
        terminal = await keeper.terminal(request.cookies.get(TERMINAL_COOKIE))
        if terminal is None:
            return RedirectResponse("/login", 303)
        keys = f"pin {name}", f"terminal {terminal.secret_hash}"

        async def again(status: int, problem: str, seconds: float = 0) -> Response:
            values = {"next": there, "problem": problem, "seconds": math.ceil(seconds)}
            people = await people_with_pins(parts.accounts)
            return renderer.page(request, "login.html", status, people=people, **values)

        if (wait_s := throttle.wait_s(*keys)) > 0:
            return await again(429, "login.wait", wait_s)
        throttle.failed(*keys)
        found, kept = await parts.accounts.find(name), await parts.accounts.pin_of(name)
        is_right = await is_password(kept or None, form.get("pin", "")[: PIN_LENGTHS[-1]])
        account = found[0] if found else None
        if account is None or not is_right or account.is_disabled or account.must_change:
            deed = deed_of(request, name, "login.refused", terminal.label, login="pin")
            await parts.audit.append(deed)
            if account and kept and await parts.audit.wrong_pins(name) >= DROPPED_AFTER:
                dropped = deed.model_copy(update={"action": "user.pin.dropped", "object": name})
                await parts.accounts.set_pin(name, "", dropped)
            return await again(401, "login.pin_wrong")
        for key in keys:
            throttle.succeeded(key)
        return await open_session(request, parts, account, there, "pin", terminal.secret_hash)


def _add_choice(app: FastAPI, parts: ConsoleParts, renderer: Renderer, throttle: Throttle) -> None:
    @app.post("/pin", include_in_schema=False)
    async def choose(request: Request) -> Response:
        """A PIN of one's own, or none any more; it takes the password."""
        who, form = who_of(request), await form_of(request)
        pin, key = form.get("pin", "").strip(), f"pin of {who.name}"
        found = await parts.accounts.find(who.name) if who.way == "password" else None
        problem = "pin.weak" if pin and is_weak_pin(pin) else ""
        if (
            not problem
            and max(throttle.wait_s(key), await wait_everywhere(parts.audit, who.name)) > 0
        ):
            problem = "login.many"
        if not problem and (
            found is None or not await is_password(found[1], form.get("old", "")[:MOST_LENGTH])
        ):
            throttle.failed(key)
            await parts.audit.append(who.deed(request, "password.refused", who.name))
            problem = "password.wrong"
        if problem:
            values = {"problem": "", "pin_problem": problem, "least": LEAST_LENGTH}
            return renderer.page(request, "password.html", 422, **values)
        deed = who.deed(request, "user.pin" if pin else "user.pin.none", who.name)
        await parts.accounts.set_pin(who.name, await password_hash(pin) if pin else "", deed)
        done = "pin.done" if pin else "pin.gone"
        values = {"problem": "", "pin_done": done, "least": LEAST_LENGTH}
        return renderer.page(request, "password.html", 200, **values)


def _keeper(request: Request) -> Gatekeeper:
    keeper: Gatekeeper = request.app.state.gatekeeper
    return keeper
