"""A text as a policy of one product, and who changes it: where every route of policies begins."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.concurrency import run_in_threadpool

from console.forms import BadFormError, form_of
from console.identity import who_of
from console.policies.desk import PolicyActor, PolicyDesk
from console.second_person import AnswerToRequest
from policies.authoring.prompt_check import check_text_with_prompt
from policies.errors import InvalidPolicyError, Problem
from policies.evaluate import ResolvedPolicy
from streams.names import key_of


async def policy_of(text: str, product: str) -> ResolvedPolicy:
    """The policy that a text is.

    Raises:
        InvalidPolicyError: it is none, or one of another product.
    """
    report = await run_in_threadpool(check_text_with_prompt, text)
    if report.policy is None:
        raise InvalidPolicyError(report.errors)
    if report.policy.product_id != product:
        reason = f"this is a policy of {report.policy.product_id!r}, not of {product!r}"
        raise InvalidPolicyError([Problem("policy.yaml", 0, 0, "E203", "product", reason)])
    return report.policy


def actor_of(request: Request) -> PolicyActor:
    """Who asks."""
    who = who_of(request)
    may_approve = not who.is_token and who.way != "pin"
    return PolicyActor(who.name, who.user, may_approve, partial(who.deed, request))


async def answer_of(request: Request) -> tuple[AnswerToRequest, str]:
    """What a page's form says of something that waits for a second person, and why.

    Raises:
        BadFormError: neither to approve, nor to refuse, nor to withdraw it.
    """
    form = await form_of(request)
    try:
        return AnswerToRequest(form.get("answer", "")), form.get("reason", "")[:500]
    except ValueError:
        raise BadFormError("nothing is asked for") from None


async def named_product(request: Request, product: Annotated[str, Path(max_length=200)]) -> str:
    """The product that an address names: by its name, or by the key of one that has a slash.

    Addresses of pages always hold the key, which is the name itself where it is plain.
    """
    if key_of(product) == product:
        return product
    desk: PolicyDesk = request.app.state.policy_desk
    known = [one.product for one in await desk.products()]
    by_key = {key_of(name): name for name in known}
    return product if product in known else by_key.get(product, product)


NamedProduct = Annotated[str, Depends(named_product)]
