"""Policies: which are in force, the editor of one, and what puts another version in force."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from console.access import may_call
from console.forms import BadFormError, form_of
from console.identity import who_of
from console.parts import ConsoleParts
from console.policies.answers import ChangeState
from console.policies.desk import PolicyDesk, PolicyWish
from console.policies.reading import NamedProduct, actor_of, answer_of, policy_of
from console.rendering import Renderer, new_nonce
from history.errors import ChangingNowError
from policies.errors import PolicyError
from streams.names import key_of

Version = Annotated[str | None, Query(pattern=r"^[0-9a-f]{6,64}$")]
_LEAST_REASON: Final = 3
_PATH: Final = "/policies/{product}"


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of these pages."""
    desk = parts.policies

    @app.get("/policies", include_in_schema=False)
    async def policies(request: Request) -> Response:
        """Every product with the policy in force for it."""
        return renderer.page(request, "policies.html", products=await desk.products())

    @app.get(_PATH, include_in_schema=False)
    async def policy(request: Request, product: NamedProduct, version: Version = None) -> Response:
        """The editor, with the version in force or an older one; for who may change nothing, its
        text."""
        done = request.query_params.get("done", "")
        values = {"text": (await desk.text(product, version)).text, "version": version or ""}
        if may_call(who_of(request).role, "POST", _PATH):
            desk.differences.warm()
        shown = done if done in list(ChangeState) else ""
        return await _shown(renderer, desk, request, product, {**values, "done": shown})

    @app.post(_PATH, include_in_schema=False)
    async def apply(request: Request, product: NamedProduct) -> Response:
        """Put the text of the form in force; where that is refused, the page says why, and the text
        is still there: an answer to whoever filled it in, and no failure of the browser's."""
        form = await form_of(request)
        given = {name: form.get(name, "") for name in ("text", "reason", "replaces", "softening")}
        try:
            wish = await _wish(product, given)
            outcome = await desk.change(wish, actor_of(request))
        except (PolicyError, ChangingNowError, BadFormError) as error:
            values = {**given, "problem": str(error)}
            return await _shown(renderer, desk, request, product, values)
        return RedirectResponse(f"/policies/{key_of(product)}?done={outcome.state.value}", 303)

    @app.post("/policies/{product}/requests/{number}", include_in_schema=False)
    async def answer(
        request: Request, product: NamedProduct, number: Annotated[int, Path(ge=1, lt=1 << 62)]
    ) -> Response:
        """Approve, refuse or withdraw what somebody asked for."""
        meant, words = await answer_of(request)
        outcome = await desk.answer(product, number, meant, words, actor_of(request))
        return RedirectResponse(f"/policies/{key_of(product)}?done={outcome.state.value}", 303)


async def _wish(product: str, given: Mapping[str, str]) -> PolicyWish:
    reason = given["reason"].strip()[:500]
    if len(reason) < _LEAST_REASON:
        raise BadFormError("say why, in some words")
    text = given["text"].replace("\r\n", "\n")
    policy = await policy_of(text, product)
    return PolicyWish(policy, text, given["replaces"] or None, reason, bool(given["softening"]))


async def _shown(
    renderer: Renderer,
    desk: PolicyDesk,
    request: Request,
    product: str,
    values: Mapping[str, str],
) -> Response:
    """The editor's page."""
    found, actor = await desk.product(product), actor_of(request)
    asked = found.request
    role = who_of(request).role
    defaults = {"reason": "", "softening": "", "problem": "", "done": "", "version": ""}
    return renderer.page(
        request,
        "policy.html",
        200,
        nonce=new_nonce(),
        product=found,
        log=await desk.log(product, 20),
        asked_text=(await desk.text(product, asked.policy_hash)).text if asked else "",
        is_own=bool(asked) and desk.is_own(asked.by, actor) if asked else False,
        second_person=desk.second_person.value,
        may_try=may_call(role, "POST", "/api/policies/check"),
        may_apply=may_call(role, "POST", _PATH),
        may_answer=may_call(role, "POST", "/policies/{product}/requests/{number}"),
        **{**defaults, "replaces": found.policy_hash or "", **values},
    )
