"""Disks that fill up or fail under a running gateway, with and without a restart."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from andon.processes import gateway as gateway_process
from connectors.errors import JournalBusyError, JournalError
from connectors.gateway import journal as journal_module
from connectors.gateway import spool as spool_module
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import StepLine
from connectors.handshake import Verdict
from connectors.handshake.signals import Signal
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of, summarise
from lab.plc.plan import PlannedPart
from streams.codes import AckOutcome, DecisionSource, FaultCode, ReasonCode, ResultCode
from tests.connectors.line import Line, at_once, decision_for, running_line
from tests.waiting import until

PLC = PlcConfig(takt_s=0.05, window_s=60.0)
ROOMY = GatewaySettings(result_window_ms=60_000)


class Disk:
    """The journal's way to the disk; ``error`` is what it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error = 0
        write = journal_module._write_all

        def asked(file: object, data: bytes) -> None:
            if self.error:
                raise OSError(self.error, os.strerror(self.error))
            write(file, data)  # type: ignore[arg-type]

        monkeypatch.setattr(journal_module, "_write_all", asked)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk that works until a test says otherwise."""
    return Disk(monkeypatch)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Line]:
    """A line at work: its gateway is ready, and every frame passes at once."""
    async with running_line(folder, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        yield line


def fault(line: Line) -> int:
    return int(line.plc.gateway(Signal.FAULT_CODE))


async def trigger(line: Line, name: str) -> None:
    await line.plc.settled(await line.plc.trigger(PlannedPart(part_id=name, product_id="demo")))


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=os.strerror)
async def test_ready_comes_back_by_itself(tmp_path: Path, disk: Disk, error: int) -> None:
    async with serving(tmp_path) as line:
        await trigger(line, "before")
        disk.error = error
        await trigger(line, "meanwhile")
        assert await line.plc.wait_for(lambda: fault(line) == FaultCode.JOURNAL, 5)
        assert await line.plc.wait_for(lambda: not line.plc.gateway(Signal.READY), 5)
        await trigger(line, "missed")
        disk.error = 0
        assert await line.plc.wait_for(lambda: line.plc.ready and fault(line) == 0, 5)
        await trigger(line, "after")
        summary = summarise(entries_of(line.plc.ledger.rows))
        assert (summary["decided"], summary["acted_twice"]) == (4, 0)
        actions = [entry.action for entry in entries_of(line.plc.ledger.rows)]
        assert actions == ["pass", "pass", "hold", "pass"]


@pytest.mark.asyncio
async def test_restarted_with_a_journal_that_lacks_results_nothing_is_acted_on_twice(
    tmp_path: Path, disk: Disk
) -> None:
    async with serving(tmp_path) as line:
        await trigger(line, "before")
        disk.error = errno.EIO
        for number in range(4):
            await trigger(line, f"meanwhile-{number}")
        told = [decision_for(frame) for frame in line.bus.frames]  # what the broker repeats
        assert len(told) >= 2
        await line.stop_gateway()
        disk.error = 0
        await line.start_gateway()
        for event in told:
            line.bus.feed.tell(event)
        await trigger(line, "after")
        summary = summarise(entries_of(line.plc.ledger.rows))
        assert (summary["decided"], summary["acted_twice"]) == (6, 0)
        taken = [a for a in line.bus.acks if a.outcome is AckOutcome.ACKNOWLEDGED]
        results = {(a.part_id, a.result_id) for a in taken}
        assert len(results) == len({part for part, _ in results}), "no two decisions of a part"


@pytest.mark.asyncio
async def test_stopped_with_a_failing_journal_it_tells_of_the_result_that_was_just_written(
    tmp_path: Path, disk: Disk
) -> None:
    """No restart knows of it, so that its acknowledgement is waited for and published first."""
    async with serving(tmp_path) as line:
        disk.error = errno.ENOSPC
        line.plc.acks_withheld = True
        await line.plc.trigger(PlannedPart(part_id="last", product_id="demo"))
        written = lambda: line.plc.gateway(Signal.RESULT_SEQ) == 1  # noqa: E731
        assert await line.plc.wait_for(written, 5)
        stopping = asyncio.create_task(line.stop_gateway())
        assert await line.plc.wait_for(lambda: not line.plc.gateway(Signal.ONLINE), 5)
        await line.plc.acknowledge()
        await stopping
        assert [ack.outcome for ack in line.bus.acks] == [AckOutcome.ACKNOWLEDGED]


@pytest.mark.asyncio
async def test_a_start_waits_for_its_disk_and_for_no_other_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_process, "_DISK_RETRY_S", 0.001)
    answers: list[Exception | None] = [
        OSError(errno.EROFS, "read-only"),
        JournalError("no space"),
        OSError(errno.EIO, "broken"),
        None,
        JournalBusyError("another gateway"),
    ]

    def open_() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    await gateway_process._usable(open_)
    assert len(answers) == 1
    with pytest.raises(JournalBusyError):
        await gateway_process._usable(open_)


@pytest.mark.asyncio
async def test_a_full_spool_disk_gives_ready_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broker and spool fail together, and both come back: nothing has to be captured first."""
    works = [True]
    write = spool_module.write_file

    def asked(path: Path, data: bytes) -> None:
        if not works:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(spool_module, "write_file", asked)
    config = GatewaySettings(result_window_ms=1000, watchdog_margin_ms=700)
    async with running_line(tmp_path, PlcConfig(takt_s=1.0), config=config) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        works.clear()
        line.bus.lose()
        await trigger(line, "meanwhile")
        assert await line.plc.wait_for(lambda: fault(line) == FaultCode.SPOOL_FULL, 5)
        works.append(True)
        assert await line.plc.wait_for(lambda: line.plc.ready, 5)
        line.bus.regain()
        await trigger(line, "after")
        # one that waited may be sent again once there is room; its identity is the same
        told = {"meanwhile", "after"}
        await until(lambda: {ack.part_id for ack in line.bus.acks} == told)
        assert len({ack.result_id for ack in line.bus.acks}) == 2
        assert summarise(entries_of(line.plc.ledger.rows))["acted_twice"] == 0


@pytest.mark.asyncio
async def test_a_journal_of_an_earlier_version_with_a_verdict_beyond_every_bound(
    tmp_path: Path,
) -> None:
    """Its events are given up by name, its results are written within what the registers hold."""
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        await line.start_gateway()
        await line.plc.trigger(PlannedPart(part_id="poisoned", product_id="demo"))
        await until(lambda: len(line.bus.frames) == 1)
        await line.stop_gateway()
        journal = Journal(tmp_path / "line.journal")
        (entry,) = journal.open().entries.values()
        source, result_id = DecisionSource.EXPERT, entry.frame_id
        verdict = Verdict(
            result_id, source, ResultCode.PASS, ReasonCode.NORMAL, 1 << 31, 1e39, -62135650000.0
        )
        journal.append(StepLine(t="decided", k=entry.key, v=verdict, d='{"class_id": 2147483648}'))
        await journal.close()
        await line.start_gateway()
        await line.plc.settled(1)
        (row,) = entries_of(line.plc.ledger.rows)
        assert (row.action, row.source) == ("pass", "expert")
        assert line.plc.gateway(Signal.CLASS_ID) == -1
        await trigger_and_take(line)


async def trigger_and_take(line: Line) -> None:
    line.bus.answer = at_once
    await trigger(line, "after")
    assert entries_of(line.plc.ledger.rows)[-1].source == "expert"
