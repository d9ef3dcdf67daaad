"""Whether a process has read the policy that a recipe asks for."""

import asyncio
import time

from streams.codes import ReasonCode
from streams.ports import Failure, PolicySource

LOOK_S = 0.05
WAIT_S = 3.0
"""A policy that was just put in force arrives within this; one that has not is refused, seconds."""


async def policy_read(
    policies: PolicySource, product_id: str, wanted: str, timeout_s: float
) -> str | Failure:
    """The hash of the product's policy in force, once it is the one that is wanted.

    Args:
        policies: those that this process follows.
        product_id: whose policy.
        wanted: how the hash must begin; empty: any policy of the product.
        timeout_s: seconds; ``WAIT_S`` if that is less.
    """
    until = time.monotonic() + min(timeout_s, WAIT_S)
    while True:
        found = policies.for_product(product_id).policy_hash
        if found and found.startswith(wanted):
            return found
        if time.monotonic() >= until:
            break
        await asyncio.sleep(LOOK_S)
    if not found:
        why = f"no policy is in force for product {product_id!r}"
    else:
        why = f"policy {found[:12]} of product {product_id!r} is in force, and not {wanted[:12]}"
    return Failure(ReasonCode.UNKNOWN_PRODUCT, "PolicyNotRead", why)
