"""Where a process gets the policies in force: the compacted topic, with a copy on disk."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog

from policies.defaults import HoldEverything
from policies.disk_cache import DiskCache
from policies.evaluate import ResolvedPolicy
from policies.in_force import PoliciesInForce
from policies.signing import SIGNED_BY, TrustedKeys
from streams.errors import UnavailableError
from streams.followers import kept_following, told_when_behind
from streams.kafka.connection import KafkaConnection
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
        trusted: keys of which one must have signed a policy; None believes every policy.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        cache_dir: Path | None = None,
        start_timeout_s: float = 10.0,
        trusted: TrustedKeys | None = None,
    ) -> None:
        self._connection = connection
        self._cache = DiskCache(cache_dir) if cache_dir is not None else None
        self._start_timeout_s = start_timeout_s
        self._in_force = PoliciesInForce(trusted)
        self._died = self._behind = self._told = False
        self._on_down: Callable[[bool], None] = lambda _: None
        self._ready = asyncio.Event()
        self._following: asyncio.Task[NoReturn] | None = None
        self._watching: asyncio.Task[NoReturn] | None = None
        self._copying: asyncio.Task[None] | None = None

    def for_product(self, product_id: str) -> ResolvedPolicy | HoldEverything:
        """The policy in force; for a product without one, a policy that holds every part."""
        return self._in_force.policies.get(product_id) or HoldEverything(product_id)

    def versions(self) -> Mapping[str, str]:
        """The hash of the policy in force, by product."""
        return {product: policy.policy_hash for product, policy in self._in_force.policies.items()}

    def refused(self) -> Mapping[str, str]:
        """Why the last message of a product was refused, by product; the one before stands."""
        return dict(self._in_force.refused)

    def serials(self) -> Mapping[str, int]:
        """The highest serial that a policy of a product was signed with."""
        return dict(self._in_force.serials)

    def signed_by(self) -> Mapping[str, str]:
        """The key that signed what is in force, by product; empty where none is asked for."""
        return {
            product: copy.headers.get(SIGNED_BY, "")
            for product, copy in self._in_force.signed.items()
        }

    async def start(self) -> None:
        """Return once every policy in force has been read.

        Raises:
            UnavailableError: the broker did not answer in time and there is no cache.
        """
        self._ready.clear()
        if self._cache is not None and self._in_force.trusted is not None:
            self._in_force.restore(self._cache.read_signed())
        reader = PartitionReader(self._connection, {POLICIES.name: BEGINNING})
        following = kept_following("policies", partial(self._follow, reader), self._say_down)
        self._following = asyncio.create_task(following, name="policies")
        behind = told_when_behind("policies", reader.caught_up, self._say_behind)
        self._watching = asyncio.create_task(behind, name="policies behind")
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
            if self._in_force.trusted is None:
                for policy in self._cache.read():
                    self._in_force.put(policy)
            products = len(self._in_force.policies)
            _log.warning("broker down, policies from disk", products=products)

    async def stop(self) -> None:
        """Stop following. May be called twice."""
        if self._copying is not None:
            self._copying.cancel()
        tasks = [task for task in (self._following, self._watching) if task is not None]
        self._following = self._watching = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def tell(self, on_down: Callable[[bool], None]) -> None:
        """Call ``on_down`` when the follower died or is behind, or a policy was refused, and when
        nothing of that is so any more."""
        self._on_down, self._told = on_down, False
        self._say()

    def _say_down(self, down: bool) -> None:
        self._died = down
        self._say()

    def _say_behind(self, behind: bool) -> None:
        self._behind = behind
        self._say()

    def _say(self) -> None:
        fault = self._died or self._behind or bool(self._in_force.refused)
        if fault != self._told:
            self._told = fault
            self._on_down(fault)

    async def _follow(self, reader: PartitionReader) -> None:
        changed = True
        async with contextlib.aclosing(reader.follow()) as batches:
            async for records in batches:
                is_new = reader.caught_up.is_set() and bool(records)
                for record in records:
                    changed |= self._in_force.take(record, is_new)
                if reader.caught_up.is_set():
                    self._in_force.caught_up()
                    if changed:
                        await self._keep_copy()
                        self._ready.set()
                        changed = False
                self._say()

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
        if self._in_force.trusted is not None:
            signed = dict(self._in_force.signed)
            return await asyncio.to_thread(self._cache.write_signed, signed)
        return await asyncio.to_thread(self._cache.write, self._in_force.bodies())

    async def _copied_later(self) -> None:
        while True:
            await asyncio.sleep(_DISK_RETRY_S)
            if await self._copied():
                return
