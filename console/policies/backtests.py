"""Back-tests that a page starts, watches and ends: each in a process of its own."""

import asyncio
import multiprocessing
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final
from uuid import uuid4

from console.policies.answers import (
    BacktestResult,
    BacktestState,
    BacktestStatus,
    ChangedPart,
    PartsOfKind,
)
from history.errors import NotInHistoryError
from history.filters import FrameFilter
from history.policy_log import PolicyLog
from history.queries import History
from policies.evaluate import ResolvedPolicy
from policies.review.backtest import Backtest, BacktestReport, Findings
from streams.codes import Severity
from streams.errors import AndonError

MOST_AT_ONCE: Final = 2
LONGEST_S: Final = 300.0
_REMEMBERED: Final = 20
_SHOWN: Final = 30
"""Parts of each kind that an answer lists."""
_TOLD_EVERY: Final = 500
_NICE: Final = 10


Told = tuple[int, int] | BacktestResult | str
"""What the other process says: how far it is of how many, what it found, or what went wrong."""


class TooManyBacktestsError(AndonError):
    """As many run as may run at once."""


@dataclass(frozen=True)
class BacktestJob:
    """What the other process needs."""

    open_history: Callable[[], History]
    open_log: Callable[[], PolicyLog]
    body: Mapping[str, object]
    since: datetime


@dataclass
class _Running:
    status: BacktestStatus
    began: float
    process: BaseProcess | None = None
    watching: asyncio.Task[None] | None = None


class Backtests:
    """The back-tests of this console; some of the last are remembered.

    Args:
        open_history: opens the history in the other process.
        open_log: opens the versions of policies there.
    """

    def __init__(
        self, open_history: Callable[[], History], open_log: Callable[[], PolicyLog]
    ) -> None:
        self._open_history, self._open_log = open_history, open_log
        self._all: OrderedDict[str, _Running] = OrderedDict()

    def start(self, candidate: ResolvedPolicy, since: datetime, by: str) -> BacktestStatus:
        """Begin one.

        Raises:
            TooManyBacktestsError: as many run as may.
        """
        running = [one for one in self._all.values() if one.status.state is BacktestState.RUNNING]
        if len(running) >= MOST_AT_ONCE:
            who = ", ".join(one.status.by for one in running)
            raise TooManyBacktestsError(f"{len(running)} back-tests are running ({who})")
        status = BacktestStatus(
            id=uuid4().hex,
            product=candidate.product_id,
            policy_hash=candidate.policy_hash,
            by=by,
            state=BacktestState.RUNNING,
            done=0,
            total=None,
            took_s=0.0,
        )
        one = _Running(status, time.monotonic())
        self._all[status.id] = one
        job = BacktestJob(self._open_history, self._open_log, dict(candidate.body), since)
        one.watching = asyncio.create_task(self._watch(one, job), name="backtest")
        while len(self._all) > _REMEMBERED:
            self._forget_one()
        return status

    def status(self, product: str, id: str) -> BacktestStatus:
        """How far one is.

        Raises:
            NotInHistoryError: there is no such back-test, or it is forgotten.
        """
        one = self._all.get(id)
        if one is None or one.status.product != product:
            raise NotInHistoryError("there is no such back-test any more; start it again")
        return one.status

    def cancel(self, product: str, id: str) -> BacktestStatus:
        """End one that is running; its process is gone at once."""
        self.status(product, id)
        one = self._all[id]
        if one.status.state is BacktestState.RUNNING:
            self._end(one, BacktestState.CANCELLED)
            _kill(one)
        return one.status

    async def close(self) -> None:
        """End all."""
        for one in self._all.values():
            _kill(one)
            if one.watching is not None:
                one.watching.cancel()
        tasks = [one.watching for one in self._all.values() if one.watching is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget_one(self) -> None:
        for id, one in self._all.items():
            if one.status.state is not BacktestState.RUNNING:
                del self._all[id]
                return

    async def _watch(self, one: _Running, job: BacktestJob) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe(duplex=False)
        one.process = context.Process(target=run_backtest, args=(job, there), daemon=True)
        try:
            async with asyncio.timeout(LONGEST_S):
                await asyncio.to_thread(one.process.start)
                there.close()
                while one.status.state is BacktestState.RUNNING:
                    self._take(one, await _received(here))
        except (EOFError, OSError):
            self._end(one, BacktestState.FAILED, "the process of the back-test ended")
        except TimeoutError:
            self._end(one, BacktestState.FAILED, f"it took longer than {LONGEST_S:g} s")
        finally:
            _kill(one)
            here.close()

    def _take(self, one: _Running, told: Told) -> None:
        if isinstance(told, BacktestResult):
            self._end(one, BacktestState.DONE, result=told)
        elif isinstance(told, str):
            self._end(one, BacktestState.FAILED, told)
        else:
            self._set(one, done=told[0], total=told[1])

    def _end(
        self,
        one: _Running,
        state: BacktestState,
        problem: str = "",
        result: BacktestResult | None = None,
    ) -> None:
        if one.status.state is BacktestState.RUNNING:
            done = result.decisions if result else one.status.done
            self._set(one, state=state, problem=problem, result=result, done=done)

    def _set(self, one: _Running, **change: object) -> None:
        took = round(time.monotonic() - one.began, 2)
        one.status = one.status.model_copy(update={**change, "took_s": took})


def _kill(one: _Running) -> None:
    if one.process is not None and one.process.pid is not None and one.process.is_alive():
        one.process.kill()


async def _received(pipe: "Connection[Told, Told]") -> Told:
    """The next word of the other process; waited for without a thread."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pipe.fileno())
    return pipe.recv()


def run_backtest(job: BacktestJob, pipe: "Connection[Told, Told]") -> None:
    """The other process: folds the recorded decisions, and tells how far it is."""
    os.nice(_NICE)
    try:
        asyncio.run(_fold(job, pipe))
    except AndonError as error:
        pipe.send(str(error))
    finally:
        pipe.close()


async def _fold(job: BacktestJob, pipe: "Connection[Told, Told]") -> None:
    candidate = ResolvedPolicy.from_body(job.body)
    history, log = job.open_history(), job.open_log()
    wanted = FrameFilter(product=candidate.product_id, since=job.since)
    try:
        total = (await history.stats(wanted)).frames
        pipe.send((0, total))
        fold = Backtest(candidate, await _versions(log, candidate.product_id))
        done = 0
        async with aclosing(history.stream_decisions(wanted)) as rows:
            async for row in rows:
                fold.add(row, Severity(row.review.severity) if row.review else None)
                done += 1
                if done % _TOLD_EVERY == 0:
                    pipe.send((done, max(total, done)))
        pipe.send(result_of(fold.report))
    finally:
        await history.close()
        await log.close()


async def _versions(log: PolicyLog, product: str) -> dict[str, ResolvedPolicy]:
    """Every version that the product ever had, for the comparison of texts."""
    found = {}
    for name in {entry.to_hash for entry in await log.list_log(product, 1000) if entry.to_hash}:
        kept = await log.get_version(name)
        found[name] = ResolvedPolicy.from_body(kept.body, name)
    return found


def result_of(report: BacktestReport) -> BacktestResult:
    """The report as it is answered."""
    changed = sorted(report.changed.items(), key=lambda item: -item[1])
    cost = report.cost
    return BacktestResult(
        decisions=report.decisions,
        changed=tuple((*key, count) for key, count in changed),
        total_changed=report.total_changed,
        reviewed=report.reviewed,
        changes=_kind(report.changes),
        escapes=_kind(report.escapes),
        possible_escapes=_kind(report.possible_escapes),
        scrapped=_kind(report.scrapped),
        good_scrapped=_kind(report.good_scrapped),
        not_judgeable=report.not_judgeable,
        mismatches=report.mismatches.count,
        cost=(cost.recorded, cost.candidate) if cost else None,
        currency=report.currency,
    )


def _kind(found: Findings) -> PartsOfKind:
    parts = (
        ChangedPart(
            frame_id=part.frame_id,
            part_id=part.part_id,
            class_name=part.class_name,
            before=part.before,
            after=part.after,
            reason=part.reason,
            reviewed=part.reviewed,
        )
        for part in found.parts[:_SHOWN]
    )
    return PartsOfKind(count=found.count, parts=tuple(parts))
