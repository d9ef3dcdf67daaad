"""Where a process gets the policies in force: the compacted topic, or a folder of files."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from policies.authoring.loading import load_policy
from policies.defaults import HoldEverything
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.table import DiskCache, PolicyTable, policy_of
from streams.envelope import from_message
from streams.errors import AndonError, UnavailableError
from streams.events import PolicyInForce
from streams.kafka.reader import partitions_of
from streams.topics import MAX_FETCH_BYTES, POLICIES

_log = structlog.get_logger(__name__)
_BACKOFF_S = (0.2, 2.0)
_DOWN = (KafkaError, OSError, TimeoutError)


class _Following:
    """A table kept current by one background task."""

    def __init__(self) -> None:
        self._table = PolicyTable()
        self._task: asyncio.Task[None] | None = None

    def for_product(self, product_id: str) -> ResolvedPolicy | HoldEverything:
        """The policy in force; for a product without one, a policy that holds every part."""
        return self._table.for_product(product_id)

    def versions(self) -> Mapping[str, str]:
        """Product -> hash of what is in force."""
        return self._table.versions()

    def _follow(self, run: Callable[[], Awaitable[None]]) -> None:
        async def body() -> None:
            await run()

        self._task = asyncio.create_task(body(), name=type(self).__name__)

    async def stop(self) -> None:
        """Stop following. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class KafkaPolicySource(_Following):
    """Reads ``andon.policies``. Implements ``streams.ports.PolicySource``.

    With a ``cache_dir`` a start without the broker uses the last known policies (products that
    the copy lacks are held) and catches up once the broker is back; without one it fails.

    Args:
        bootstrap_servers: comma-separated host:port.
        cache_dir: folder of the copy on disk, or None.
        start_timeout_s: seconds in which the topic must have been read to its end.
        poll_ms: how long a fetch may wait at the broker.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        cache_dir: Path | None = None,
        start_timeout_s: float = 10.0,
        poll_ms: int = 500,
    ) -> None:
        super().__init__()
        self._servers = bootstrap_servers
        self._cache = DiskCache(cache_dir) if cache_dir is not None else None
        self._start_timeout_s = start_timeout_s
        self._poll_ms = poll_ms
        self._ready = asyncio.Event()

    async def start(self) -> None:
        """Return once every policy in force has been read.

        Raises:
            UnavailableError: the broker did not answer in time and there is no cache.
        """
        self._ready = asyncio.Event()
        self._follow(self._supervise)
        try:
            await asyncio.wait_for(self._ready.wait(), self._start_timeout_s)
        except TimeoutError:
            if self._cache is None:
                await self.stop()
                raise UnavailableError(
                    f"no policies from Kafka at {self._servers} in {self._start_timeout_s:g} s; "
                    "start the broker, or set a state folder so that the last ones are kept"
                ) from None
            for policy in self._cache.read():
                self._table.put(policy)
            _log.warning("broker down, policies from disk", products=len(self._table.versions()))

    async def _supervise(self) -> None:
        """Read, and read again from a new consumer after every failure."""
        delay = _BACKOFF_S[0]
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._servers,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=self._poll_ms,
                max_partition_fetch_bytes=MAX_FETCH_BYTES,
            )
            try:
                await consumer.start()
                delay = _BACKOFF_S[0]
                await self._read(consumer)
            except (*_DOWN, asyncio.CancelledError) as error:
                if _asked_to_end():
                    raise
                _log.warning("policies: broker not reachable", error=repr(error))
            finally:
                await _close(consumer)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, _BACKOFF_S[1])

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        partitions = await partitions_of(consumer, [POLICIES.name])
        if not partitions:
            self._save()
            self._ready.set()  # nothing was ever published: every part is held
            return
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, begins[partition])
        while True:
            if not self._ready.is_set() and await self._reached(consumer, ends):
                self._save()
                self._ready.set()
            batches = await consumer.getmany(*partitions, timeout_ms=self._poll_ms)
            changed = [self._take(r) for records in batches.values() for r in records]
            if any(changed) and self._ready.is_set():
                self._save()

    async def _reached(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
        for partition, end in ends.items():
            if await consumer.position(partition) < end:
                return False
        return True

    def _take(self, record: object) -> bool:
        """Apply one message, last wins; one that cannot be used changes nothing."""
        key = (getattr(record, "key", None) or b"").decode("utf-8", "replace")
        value, headers = getattr(record, "value", None), getattr(record, "headers", ())
        if not value:
            self._table.remove(key)
            return True
        try:
            self._table.put(policy_of(from_message(PolicyInForce, value, headers)))
        except AndonError as error:
            _log.error("policy refused, the one before stays in force", key=key, error=str(error))
            return False
        return True

    def _save(self) -> None:
        if self._cache is not None:
            self._cache.write(self._table.bodies())


async def _close(consumer: AIOKafkaConsumer) -> None:
    """Stop, and close the client also where aiokafka leaves it open.

    When a fetch fails while the consumer stops, aiokafka 0.14 raises ``CancelledError`` from the
    fetch's own task; only one that was meant for this task may pass.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        if _asked_to_end():
            raise
    except _DOWN as error:
        _log.debug("policies: consumer closed with an error", error=str(error))
    finally:
        await consumer._client.close()


def _asked_to_end() -> bool:
    """Whether this task was cancelled, and not just a future of the library's."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class FilePolicySource(_Following):
    """Every ``*.yaml`` of a folder, followed by looking. Implements ``PolicySource``.

    For tests and tools; files whose name begins with ``_`` are bases of others.

    Args:
        folder: where the products' files are.
        poll_s: seconds between two looks.
    """

    def __init__(self, folder: Path, poll_s: float = 0.1) -> None:
        super().__init__()
        self._folder = folder
        self._poll_s = poll_s
        self._products: dict[Path, tuple[tuple[int, int], str]] = {}

    async def start(self) -> None:
        """Return once every file has been read.

        Raises:
            PolicyError: a file of the folder cannot be used.
        """
        self._look(strict=True)
        self._follow(self._watch)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            self._look(strict=False)

    def _look(self, strict: bool) -> None:
        present = {p for p in self._folder.glob("*.yaml") if not p.name.startswith("_")}
        for path in sorted(present):
            state = path.stat()
            stamp = (state.st_mtime_ns, state.st_size)
            if self._products.get(path, ((0, 0), ""))[0] == stamp:
                continue
            try:
                policy = load_policy(path)
            except PolicyError as error:
                if strict:
                    raise
                _log.error("policy refused, the one before stays in force", error=str(error))
                self._products[path] = (stamp, self._products.get(path, (stamp, ""))[1])
                continue
            self._table.put(policy)
            self._products[path] = (stamp, policy.product_id)
        for path in set(self._products) - present:
            self._table.remove(self._products.pop(path)[1])
