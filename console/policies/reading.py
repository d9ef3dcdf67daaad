"""A text as a policy of one product, and who changes it: where every route of policies begins."""

from dataclasses import replace
from functools import partial

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from console.identity import who_of
from console.policies.desk import PolicyActor
from policies.authoring.prompt_check import check_text_with_prompt
from policies.errors import InvalidPolicyError, Problem
from policies.evaluate import ResolvedPolicy


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
    """Who asks; a token is named with the person whose it is."""
    who = who_of(request)
    name = f"{who.user} ({who.name})" if who.is_token else who.name
    return PolicyActor(name, who.user, who.is_token, partial(replace(who, name=name).deed, request))
