"""Frames of products that are not in memory: they wait for their expert, and for nobody else's."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from serving.batching import Expired, QueueFull
from serving.ray.residents import Loaded
from streams.ports import Failure

Load = Callable[[str], Loaded | Failure]


class ColdLoads:
    """Loads a product once, however many frames ask for it, in a thread of its own.

    Args:
        load: opens the expert of a product; blocking, and does not raise.
        most_bytes: bound on the encoded images that wait; beyond it items fail, retryable.
    """

    def __init__(self, load: Load, most_bytes: int) -> None:
        self._load, self._most = load, most_bytes
        self._waiting = 0
        self._under_way: dict[str, asyncio.Future[Loaded | Failure]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cold")

    async def ready(
        self, product: str, weight: int = 0, timeout_s: float | None = None
    ) -> Loaded | Failure:
        """The product's expert, or why it cannot be loaded.

        Args:
            product: whose.
            weight: bytes of the image that waits for it.
            timeout_s: how long its caller waits.

        Raises:
            QueueFull: too much waits already.
            Expired: it took longer than the caller waits; the loading goes on.
        """
        if self._waiting and self._waiting + weight > self._most:
            raise QueueFull
        found = self._under_way.get(product)
        if found is None:
            loop = asyncio.get_running_loop()
            found = loop.run_in_executor(self._pool, self._load, product)
            self._under_way[product] = found
            found.add_done_callback(lambda _: self._under_way.pop(product, None))
        self._waiting += weight
        try:
            return await asyncio.wait_for(asyncio.shield(found), timeout_s)
        except TimeoutError:
            raise Expired from None
        finally:
            self._waiting -= weight

    def close(self) -> None:
        """Begin no more loading."""
        self._pool.shutdown(wait=False, cancel_futures=True)
