"""How long frames wait for their turn at a replica, as its answers tell: what a worker need not
hurry for, because it would wait there. Pure."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from streams.ports import Failure

Request = TypeVar("Request")
Answer = TypeVar("Answer")
MOST_QUEUE_S = 0.2
"""An item waits at most so long for a fuller call where it would wait in the replica, seconds."""
_OF_QUEUE = 2.0
"""Behind the replica's queue there are a batch that is decoded and one that is scored: an item may
wait twice as long as the queue before its turn would have come."""


class ToldQueues(Generic[Request, Answer]):
    """The queues by product: each product may have a replica of its own.

    Args:
        product: of a request.
        queued_s: how long an answer's item waited for its turn at the replica, seconds.
    """

    def __init__(
        self, product: Callable[[Request], str], queued_s: Callable[[Answer], float]
    ) -> None:
        self._product, self._queued_s = product, queued_s
        self._queues: dict[str, float] = {}

    def answered(self, items: Iterable[tuple[Request, Answer | Failure]]) -> None:
        """The items of one call and what came back: the least that one waited is the queue."""
        told: dict[str, float] = {}
        for request, answer in items:
            product = self._product(request)
            waited_s = 0.0 if isinstance(answer, Failure) else self._queued_s(answer)
            told[product] = min(waited_s, told.get(product, waited_s))
        self._queues |= told

    def wait_s(self, requests: Iterable[Request]) -> float:
        """How long these may wait for others to travel with, seconds, and lose nothing: as long as
        the one whose queue is the shortest."""
        queues = [self._queues.get(self._product(request), 0.0) for request in requests]
        return min(_OF_QUEUE * min(queues, default=0.0), MOST_QUEUE_S)
