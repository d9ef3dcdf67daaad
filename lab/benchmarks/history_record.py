"""The role record from Kafka to PostgreSQL at a steady rate: how far it falls behind, and its CPU.

A stack of its own without Ray, ``andon worker record`` as its own process, and a made-up plant that
publishes decisions and what the controller did with them. What is recorded is counted in the facts
that the triggers wrote: a part counts once its decision and its acknowledgement are in them.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import asyncpg

from andon.stack.local import StackPorts
from andon.stack.prepare import prepare
from andon.wiring import brokers
from infra.stack.process import Process
from lab.benchmarks.cpu import cpu_seconds
from lab.benchmarks.history_fill import Figures, enough_disk, fill_history
from lab.benchmarks.history_parts import made_acknowledgement, made_decisions
from lab.harness.console_here import StoresAlone
from lab.progress import Say
from streams.envelope import to_message
from streams.errors import AndonError
from streams.events import decision_id
from streams.ids import new_frame_id
from streams.ports import Publisher
from streams.principals import Role
from streams.topics import ACKS, DECISIONS

_TICK_S: Final = 0.05
_LOOK_S: Final = 2.0
_DRAIN_S: Final = 600.0
_RECORDED: Final = (
    "SELECT coalesce(sum(parts), 0)::bigint FROM part_count "
    "WHERE line LIKE 'record-%' AND outcome = 'acknowledged'"
)


@dataclass(frozen=True)
class RecordBenchmark:
    """What is recorded.

    Args:
        rate_per_s: decisions a second, each with its acknowledgement; 0: all are on Kafka before
            the role starts, and it records as fast as it can.
        seconds: for so long; with ``rate_per_s`` 0 a thousand parts for each second.
        parts: parts that the database holds before.
        broker: the embedded one in memory, or Apache Kafka.
    """

    rate_per_s: int = 1000
    seconds: float = 600.0
    parts: int = 0
    broker: Literal["embedded", "kafka"] = "embedded"

    @property
    def count(self) -> int:
        """Parts that are published."""
        return round((self.rate_per_s or 1000) * self.seconds)


async def benchmark_recording(options: RecordBenchmark, folder: Path, say: Say) -> Figures:
    """Publish and record in a stack in ``folder``.

    Raises:
        AndonError: too little disk, a component did not come up, or not all was recorded.
    """
    enough_disk(options.parts + 2 * options.count, folder, say)
    async with _stores(options, folder) as stack:
        settings = stack.settings()
        await prepare(settings, [], "benchmark")
        url = settings.postgres.url.get_secret_value().replace("+asyncpg", "")
        plain = await asyncpg.connect(url)
        log = folder / "logs" / "record.log"
        record = [sys.executable, "-m", "andon", "worker", "record"]
        worker: Process | None = None
        try:
            filled = await fill_history(plain, options.parts, say) if options.parts else {}
            async with brokers.publisher(settings, timeout_s=60.0) as to:
                if not options.rate_per_s:
                    await _publish(options.count, 0, to)
                worker = Process("record", record, log, stack.environment(Role.RECORD))
                roots = {name: part.pid for name, part in stack.components.items()}
                roots["record"] = worker.pid
                told = await _run(options, plain, to, roots, say)
        finally:
            if worker is not None:
                await asyncio.to_thread(worker.stop, 10)
            await plain.close()
    return {**{f"before_{name}": value for name, value in filled.items()}, **told}


@asynccontextmanager
async def _stores(options: RecordBenchmark, folder: Path) -> AsyncIterator[StoresAlone]:
    stack = StoresAlone(folder / "stack", StackPorts.free(), broker_kind=options.broker)
    await asyncio.to_thread(stack.start)
    try:
        yield stack
    finally:
        await asyncio.to_thread(stack.stop)


async def _run(
    options: RecordBenchmark,
    plain: asyncpg.Connection,
    to: Publisher,
    roots: dict[str, int],
    say: Say,
) -> Figures:
    sending, told, base = None, 0.0, 0
    if options.rate_per_s:
        await _publish_part(options.count, to)  # the role's start is no part of what is measured
        base = await _first_recorded(plain)
        sending = asyncio.create_task(_publish(options.count, options.rate_per_s, to))
    before, begun, own = cpu_seconds(roots), time.perf_counter(), time.process_time()
    done, behind, first, reached = 0, [0.0], 0.0, 0
    while done < options.count:
        await asyncio.sleep(_LOOK_S)
        now = time.perf_counter() - begun
        done = await plain.fetchval(_RECORDED) - base
        is_started = not options.rate_per_s and 0 < done < options.count
        if is_started and not first:  # imports and joining the group are over
            first, reached = now, done
            before, own = cpu_seconds(roots), time.process_time()
        due = min(now * options.rate_per_s, options.count) if options.rate_per_s else 0
        behind.append(max(due - done, 0) / max(options.rate_per_s, 1))
        if now - told > 10 or done == options.count:
            told = now
            say(f"{now:.0f} s: {done} of {options.count} recorded, {behind[-1]:.2f} s behind")
        if now > options.seconds + _DRAIN_S:
            raise AndonError(f"{done} of {options.count} were recorded in {now:.0f} s")
    took = time.perf_counter() - begun
    if sending is not None:
        await sending
    spent = {n: s - before.get(n, 0.0) for n, s in cpu_seconds(roots).items()}
    spent["publisher"] = time.process_time() - own
    counted = max(options.count - reached, 1)
    shares = {f"cpu_ms_a_part_{n}": round(1000 * s / counted, 3) for n, s in spent.items()}
    return {
        "parts": options.count,
        "rate_per_s": options.rate_per_s,
        "recorded_in_s": round(took, 1),
        "recorded_per_s": round((options.count - reached) / max(took - first, 0.1)),
        "worst_behind_s": round(max(behind), 2),
        "last_behind_s": round(behind[-1], 2),
        **shares,
        "cpu_ms_a_part": round(1000 * sum(spent.values()) / counted, 3),
        "twice": int(
            await plain.fetchval("SELECT count(*) - count(DISTINCT frame_id) FROM acknowledgement")
        ),
    }


async def _first_recorded(plain: asyncpg.Connection) -> int:
    """How many parts are recorded, once there is one."""
    async with asyncio.timeout(_DRAIN_S):
        while not (found := int(await plain.fetchval(_RECORDED))):  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.1)
    return found


async def _publish(count: int, rate_per_s: int, to: Publisher) -> None:
    """At a rate, or at once where it is 0; each decision before what the controller did."""
    begun, sent = time.perf_counter(), 0
    while sent < count:
        due = sent + 500
        if rate_per_s:
            await asyncio.sleep(_TICK_S)
            due = round((time.perf_counter() - begun) * rate_per_s)
        numbers = range(sent, min(due, count))
        await asyncio.gather(*(_publish_part(number, to) for number in numbers))
        sent = max(sent, numbers.stop)


async def _publish_part(number: int, to: Publisher) -> None:
    pattern, frame, now = made_decisions(number)[0], new_frame_id(), datetime.now(UTC)
    decision = pattern.model_copy(
        update={
            "frame_id": frame,
            "result_id": decision_id(frame, pattern.source),
            "line": f"record-{number % 4}",
            "part_id": f"R{number:010}",
            "trigger_seq": number + 1,
            "captured_at": now - timedelta(milliseconds=200),
            "deadline": now + timedelta(seconds=1.3),
            "decided_at": now,
        }
    )
    sends = (DECISIONS, decision), (ACKS, made_acknowledgement(decision))
    await asyncio.gather(*(to.send(topic.name, to_message(event)) for topic, event in sends))
