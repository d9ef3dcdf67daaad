"""Who may log in: adding people, their roles, new passwords, shutting out, ending tokens."""

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from console.access import ConsoleRole
from console.credentials import new_password, password_hash
from console.forms import BadFormError, form_of
from console.identity import who_of
from console.parts import ConsoleParts
from console.rendering import Renderer
from history.accounts import ConsoleUser, DoubledAccountError
from streams.names import fault_of, normal_form


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""

    async def shown(request: Request, status: int = 200, **told: str) -> Response:
        values = {"given": "", "password": "", "problem": "", **told}
        people = await parts.accounts.everybody()
        tokens = await parts.accounts.tokens()
        roles = [role.value for role in ConsoleRole]
        return renderer.page(
            request, "people.html", status, people=people, tokens=tokens, roles=roles, **values
        )

    @app.get("/people", include_in_schema=False)
    async def people(request: Request) -> Response:
        """Everybody, and the tokens of programs."""
        return await shown(request)

    @app.post("/people", include_in_schema=False)
    async def let_in(request: Request) -> Response:
        """One more person; the password that opens once is shown on this answer alone."""
        form, who = await form_of(request), who_of(request)
        name, role = normal_form(form.get("name", "")), _role(form.get("role", ""))
        if fault_of(name):
            return await shown(request, 422, problem="people.bad_name")
        secret = new_password()
        user = ConsoleUser(name=name, role=role, must_change=True)
        deed = who.deed(request, "user.add", name, after=role.value)
        try:
            await parts.accounts.add(user, await password_hash(secret), deed)
        except DoubledAccountError:
            return await shown(request, 422, problem="people.doubled")
        return await shown(request, given=name, password=secret)

    @app.post("/people/{name:path}", include_in_schema=False)
    async def change(request: Request, name: str) -> Response:
        """Another role, a new password, in or out; nobody changes what they themselves may."""
        form = await form_of(request)
        if name == who_of(request).user:
            return await shown(request, 422, problem="people.oneself")
        secret = await _change(request, parts, name, form)
        if secret:
            return await shown(request, given=name, password=secret)
        return RedirectResponse("/people", 303)

    @app.post("/tokens/{secret_hash}", include_in_schema=False)
    async def end_token(request: Request, secret_hash: str) -> Response:
        """The token opens nothing any more."""
        meant = [t for t in await parts.accounts.tokens() if t.secret_hash == secret_hash]
        if meant:
            deed = who_of(request).deed(request, "token.end", meant[0].actor)
            await parts.accounts.end(secret_hash, deed)
        return RedirectResponse("/people", 303)


async def _change(request: Request, parts: ConsoleParts, name: str, form: Mapping[str, str]) -> str:
    """Do what the form asks with a person; the new password, where it asks for one."""
    who = who_of(request)
    match form.get("do"):
        case "role":
            role, found = _role(form.get("role", "")), await parts.accounts.find(name)
            before = found[0].role if found else ""
            deed = who.deed(request, "user.role", name, before=before, after=role.value)
            await parts.accounts.set_role(name, role, deed)
        case "password":
            secret = new_password()
            kept, deed = await password_hash(secret), who.deed(request, "user.password", name)
            await parts.accounts.set_password(name, kept, deed, must_change=True)
            return secret
        case "out" | "in" as way:
            deed = who.deed(request, f"user.{way}", name)
            await parts.accounts.set_disabled(name, way == "out", deed)
        case _:
            raise BadFormError("nothing is asked for")
    return ""


def _role(word: str) -> ConsoleRole:
    try:
        return ConsoleRole(word)
    except ValueError:
        raise BadFormError(f"there is no role {word!r}") from None
