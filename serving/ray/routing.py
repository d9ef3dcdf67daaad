"""Several replicas share the products: each product has a replica, the same while that one lives.

Rendezvous hashing (Thaler & Ravishankar 1998): every replica is ranked for every product, by a hash
of both, and the first that takes the call gets it. When a replica comes or goes, only the products
that it gets or had move.
"""

import asyncio
import random
import warnings
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from hashlib import blake2b

from serving.ray.wire import calls_by_product, join_answers, pack_inspections
from streams.codes import ReasonCode
from streams.ports import Failure

with warnings.catch_warnings():
    # Ray 2.60's schema module uses a pydantic call that pydantic deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray.serve.request_router import (
        MultiplexMixin,
        PendingRequest,
        RequestRouter,
        RunningReplica,
    )

ROUTER = "serving.ray.routing:ByProduct"
"""How Serve's configuration names the class."""
Call = Callable[[str, bytes], Awaitable[bytes]]
"""Product and call to the answer of the product's replica."""


class ByProduct(MultiplexMixin, RequestRouter):  # type: ignore[misc]  # Ray is untyped
    """Serve's router, which ranks the replicas for the product that a call names as its model."""

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Replicas one by one in the product's order; any two for a call without a product."""
        product = "" if pending_request is None else pending_request.metadata.multiplexed_model_id
        if not product:
            return [random.sample(candidate_replicas, min(2, len(candidate_replicas)))]
        by_name = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        return [[by_name[name]] for name in ranked(product, tuple(sorted(by_name)))]


@lru_cache(maxsize=4096)
def ranked(product: str, replicas: tuple[str, ...]) -> list[str]:
    """The replicas in the order in which they are asked for a product.

    >>> ranked("tile", ("a", "b", "c"))
    ['b', 'a', 'c']
    >>> ranked("tile", ("a", "c"))
    ['a', 'c']
    """
    return sorted(replicas, key=lambda name: blake2b(f"{product}\0{name}".encode()).digest())


async def score_by_product(body: bytes, call: Call) -> bytes:
    """The answers to a call's images, each asked of its product's replica.

    A replica that cannot be asked fails the images of its products alone, retryable.

    Raises:
        Exception: what ``call`` raised, where it did so for every product.
    """
    parts = calls_by_product(body)
    found = await asyncio.gather(
        *(call(product, part) for product, (_, part) in parts.items()), return_exceptions=True
    )
    errors = [answer for answer in found if isinstance(answer, BaseException)]
    if len(errors) == len(found) and errors:
        raise errors[0]
    places: Sequence[Sequence[int]] = [places for places, _ in parts.values()]
    return join_answers(
        [
            (own, _failed(answer, len(own)) if isinstance(answer, BaseException) else answer)
            for own, answer in zip(places, found, strict=True)
        ]
    )


def _failed(error: BaseException, count: int) -> bytes:
    kind, message = type(error).__name__, str(error).strip()[-512:]
    failure = Failure(ReasonCode.EXPERT_UNAVAILABLE, kind, message, retryable=True)
    return pack_inspections([failure] * count)
