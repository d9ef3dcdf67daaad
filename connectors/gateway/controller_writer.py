"""Writes to the line controller, one after another: status is merged, a result is two writes."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from connectors.errors import JournalError, LinkError
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import StepLine
from connectors.handshake.signals import Signal, SignalValue, SignalValues
from connectors.handshake.values import BeatWritten, PartKey, WriteResult
from connectors.line_link import LineLink
from streams.inspections import FLOAT32_MAX

_INT32_MAX = (1 << 31) - 1
_LATEST_S = 7_258_118_400.0
"""The year 2200, seconds since the epoch."""
NEEDED = frozenset({Signal.RESULT_TRIGGER_SEQ, Signal.RESULT_CODE, Signal.RESULT_SEQ})
"""Without one of these no result can be told."""


class ControllerWriter:
    """The only writer of the gateway's signals.

    A failed write replaces the connection. What waited then is dropped, because everything is read
    back and ordered anew after it.

    Args:
        journal: holds a result's number before the controller sees it. When the disk fails the
            result is written all the same, because the part must be decided.
        on_written: called with the part when both writes of its result came back.
        on_beat: called when a write with ``VisionHeartbeat`` came back.
        on_refused: called when the signals change that the controller does not let us write; with
            the part, where its result cannot be told because of them.
    """

    def __init__(
        self,
        link: LineLink,
        journal: Journal,
        on_written: Callable[[PartKey], None],
        on_beat: Callable[[BeatWritten], None],
        on_refused: Callable[[frozenset[Signal], PartKey | None], None],
    ) -> None:
        self._link = link
        self._journal = journal
        self._on_written = on_written
        self._on_beat = on_beat
        self._on_refused = on_refused
        self._refused: frozenset[Signal] = frozenset()
        self._status: dict[Signal, SignalValue] = {}
        self._results: deque[WriteResult] = deque()
        self._waiting = asyncio.Event()
        self._generation = 0

    def status(self, values: SignalValues) -> None:
        """Write these soon; a newer value of the same signal replaces one not yet written."""
        self._status.update(values)
        self._waiting.set()

    def result(self, command: WriteResult) -> None:
        """Write this result after those before it. The machine orders at most one at a time."""
        part = command.part
        seq, verdict = part.result_seq, part.verdict
        self._journal.append(StepLine(t="writing", k=part.key, r=seq, v=verdict, at=time.time()))
        self._results.append(command)
        self._waiting.set()

    def clear(self) -> None:
        """Forget what waits: the connection is gone."""
        self._generation += 1
        self._status.clear()
        self._results.clear()

    async def run(self) -> None:
        """Write what is asked for, until cancelled."""
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            try:
                while self._status or self._results:
                    await self._one()
            except LinkError:
                self.clear()

    async def _one(self) -> None:
        if not self._results:
            values, self._status = self._status, {}
            began = time.monotonic()
            self._note(values, await self._link.write(values), began)
            return
        generation = self._generation
        command = self._results.popleft()
        with contextlib.suppress(JournalError):
            await self._journal.commit()
        if generation != self._generation:
            return
        status, self._status = self._status, {}
        group = {**status, **result_group(command)}
        began = time.monotonic()
        refused = await self._link.write(group)
        if not refused & NEEDED:  # a number over half a result would be acted on
            number = {Signal.RESULT_SEQ: command.part.result_seq}
            refused |= await self._link.write(number)
            group |= number
        if generation != self._generation:
            return
        self._note(group, refused, began)
        if refused & NEEDED:
            self._on_refused(self._refused, command.part.key)
        else:
            self._on_written(command.part.key)

    def _note(self, written: SignalValues, refused: frozenset[Signal], began: float) -> None:
        if Signal.VISION_HEARTBEAT in written.keys() - refused:
            self._on_beat(BeatWritten(began))
        now = (self._refused - written.keys()) | refused
        if now != self._refused:
            self._refused = now
            self._on_refused(now, None)


def result_group(command: WriteResult) -> dict[Signal, SignalValue]:
    """The values of the result registers, without ``ResultSeq``, which is written after them.

    Whatever an old journal or a controller's own text holds, the registers can hold it: what says
    how sure, how bad or when is brought into range, what says what to do with the part always is.
    """
    part = command.part
    verdict = part.verdict
    assert verdict is not None
    at = verdict.decided_at
    return {
        Signal.RESULT_TRIGGER_SEQ: part.key.trigger_seq,
        Signal.RESULT_PART_ID: part.trigger.part_id.encode("utf-8", "replace").decode(),
        Signal.RESULT_CODE: int(verdict.code),
        Signal.REASON_CODE: int(verdict.reason),
        Signal.DECISION_SOURCE: verdict.source.code,
        Signal.PENDING_RESULTS: command.pending,
        Signal.CLASS_ID: verdict.class_id if abs(verdict.class_id) <= _INT32_MAX else -1,
        Signal.SCORE: max(min(verdict.score, FLOAT32_MAX), -FLOAT32_MAX),
        Signal.RESULT_TIME: datetime.fromtimestamp(min(max(at, 0.0), _LATEST_S), tz=UTC),
    }
