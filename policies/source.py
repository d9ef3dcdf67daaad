"""Where a process gets the policies in force: the compacted topic, with a copy on disk."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog
from pydantic import ValidationError

from policies.defaults import HoldEverything
from policies.disk_cache import DiskCache
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from streams.envelope import from_message
from streams.errors import AndonError, UnavailableError
from streams.events import PolicyInForce
from streams.followers import kept_following
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.topics import POLICIES

_log = structlog.get_logger(__name__)
_DISK_RETRY_S = 2.0


class KafkaPolicySource:
    """Reads ``andon.policies`` and follows it. Implements ``streams.ports.PolicySource``.

    With a ``cache_dir`` a start without the broker uses the last known policies (products that
    the copy lacks are held) and catches up once the broker is back; without one it fails.

    Args:
        connection: to the broker.
        cache_dir: folder of the copy on disk, or None.
        start_timeout_s: seconds in which the topic must have been read to its end.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        cache_dir: Path | None = None,
        start_timeout_s: float = 10.0,
    ) -> None:
        self._connection = connection
        self._cache = DiskCache(cache_dir) if cache_dir is not None else None
        self._start_timeout_s = start_timeout_s
        self._policies: dict[str, ResolvedPolicy] = {}
        self._on_down: Callable[[bool], None] = lambda _: None
        self._ready = asyncio.Event()
        self._following: asyncio.Task[NoReturn] | None = None
        self._copying: asyncio.Task[None] | None = None

    def for_product(self, product_id: str) -> ResolvedPolicy | HoldEverything:
        """The policy in force; for a product without one, a policy that holds every part."""
        return self._policies.get(product_id) or HoldEverything(product_id)

    def versions(self) -> Mapping[str, str]:
        """The hash of the policy in force, by product."""
        return {product: policy.policy_hash for product, policy in self._policies.items()}

    async def start(self) -> None:
        """Return once every policy in force has been read.

        Raises:
            UnavailableError: the broker did not answer in time and there is no cache.
        """
        self._ready.clear()
        reader = PartitionReader(self._connection, {POLICIES.name: BEGINNING})
        following = kept_following("policies", partial(self._follow, reader), self._say_down)
        self._following = asyncio.create_task(following, name="policies")
        try:
            await asyncio.wait_for(self._ready.wait(), self._start_timeout_s)
        except TimeoutError:
            if self._cache is None:
                await self.stop()
                raise UnavailableError(
                    f"no policies from Kafka at {self._connection.bootstrap_servers} in "
                    f"{self._start_timeout_s:g} s; start the broker, or set a state folder so "
                    "that the last ones are kept"
                ) from None
            for policy in self._cache.read():
                self._put(policy)
            _log.warning("broker down, policies from disk", products=len(self._policies))

    async def stop(self) -> None:
        """Stop following. May be called twice."""
        if self._copying is not None:
            self._copying.cancel()
        task, self._following = self._following, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def tell(self, on_down: Callable[[bool], None]) -> None:
        """Call ``on_down`` when the follower died, and when it follows again."""
        self._on_down = on_down

    def _say_down(self, down: bool) -> None:
        self._on_down(down)

    async def _follow(self, reader: PartitionReader) -> None:
        changed = True
        async with contextlib.aclosing(reader.follow()) as batches:
            async for records in batches:
                for record in records:
                    changed |= self._take(record)
                if changed and reader.caught_up.is_set():
                    await self._keep_copy()
                    self._ready.set()
                    changed = False

    async def _keep_copy(self) -> None:
        """The copy on disk; a disk that does not take it is tried again, for it must not name a
        policy that was withdrawn."""
        if self._copying is not None:
            self._copying.cancel()
            self._copying = None
        if not await self._copied():
            self._copying = asyncio.create_task(self._copied_later(), name="policies-copy")

    async def _copied(self) -> bool:
        """Whether what is in force now is on disk; the disk is waited for in a thread."""
        if self._cache is None:
            return True
        bodies = {policy.policy_hash: policy.body for policy in self._policies.values()}
        return await asyncio.to_thread(self._cache.write, bodies)

    async def _copied_later(self) -> None:
        while True:
            await asyncio.sleep(_DISK_RETRY_S)
            if await self._copied():
                return

    def _take(self, record: Delivery) -> bool:
        """Apply one message; the last one wins, and one that cannot be used changes nothing."""
        key = record.key.decode("utf-8", "replace")
        if not record.value:
            if self._policies.pop(key, None) is not None:
                _log.warning("policy withdrawn, parts are held", product=key)
            return True
        try:
            self._put(policy_of(from_message(PolicyInForce, record.value, record.headers)))
        except Exception as error:  # noqa: BLE001 - no message ends the follower
            why = str(error) if isinstance(error, AndonError) else repr(error)
            _log.error(
                "policy refused, the one before stays in force",
                key=key[:512],
                offset=record.offset,
                error=why[:2000],
            )
            return False
        return True

    def _put(self, policy: ResolvedPolicy) -> None:
        """Put in force by one assignment: a part sees either the old policy or the new one."""
        product, current = policy.product_id, self._policies.get(policy.product_id)
        if current is None or current.policy_hash != policy.policy_hash:
            _log.info("policy in force", product=product, policy=policy.policy_hash[:12])
            self._policies[product] = policy


def policy_of(event: PolicyInForce) -> ResolvedPolicy:
    """The policy inside a published event.

    Raises:
        PolicyError: the body is no policy, or is not what its hash promises.
    """
    try:
        policy = ResolvedPolicy.from_body(event.body, event.policy_hash)
    except ValidationError as error:
        raise PolicyError(
            f"policy {event.policy_hash[:12]} of {event.product_id!r} is not one that this build "
            f"reads ({error.error_count()} problems); upgrade the workers before applying it"
        ) from error
    if policy.product_id != event.product_id:
        raise PolicyError(f"policy of {policy.product_id!r} was published for {event.product_id!r}")
    return policy
