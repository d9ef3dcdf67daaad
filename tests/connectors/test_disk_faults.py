"""Disks that fill up or fail under a running gateway, with and without a restart."""

import errno
import os
from pathlib import Path

import pytest

from connectors.gateway import journal as journal_module
from connectors.handshake.signals import Signal
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of, summarise
from lab.plc.plan import PlannedPart
from streams.codes import AckOutcome, FaultCode
from tests.connectors.line import Line, at_once, decision_for, running_line

PLC = PlcConfig(takt_s=0.05, window_s=60.0)
ROOMY = GatewaySettings(result_window_ms=60_000)
ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS]


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


def fault(line: Line) -> int:
    return int(line.plc.gateway(Signal.FAULT_CODE))


async def trigger(line: Line, name: str) -> None:
    await line.plc.settled(await line.plc.trigger(PlannedPart(part_id=name, product_id="demo")))


@pytest.mark.asyncio
@pytest.mark.parametrize("error", ERRORS, ids=os.strerror)
async def test_ready_comes_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    disk = Disk(monkeypatch)
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await line.start_gateway()
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
@pytest.mark.parametrize("error", ERRORS, ids=os.strerror)
async def test_restarted_with_a_journal_that_lacks_results_nothing_is_acted_on_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    disk = Disk(monkeypatch)
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        await trigger(line, "before")
        disk.error = error
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
