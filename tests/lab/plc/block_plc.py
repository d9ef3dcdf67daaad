"""A controller whose program is the exported function block, interpreted."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.controller_code import structured_text
from connectors.handshake.signals import Owner, Signal, SignalValue, SignalValues
from lab.plc.opcua_server import SignalServer
from lab.plc.plan import PlannedPart
from tests.lab.plc.structured_text import FunctionBlock, Value


@dataclass(frozen=True)
class PartOutcome:
    """What the block told of one part."""

    trigger_seq: int
    part_id: str
    code: int
    source: int
    told_part_id: str
    """ResultPartId at that moment."""


class BlockPlc:
    """An OPC UA server whose signals the block reads and writes once a cycle.

    Args:
        url: its endpoint.
        window_ms: the result window T, as TaktMs.
        cycle_s: the time between two cycles.
    """

    def __init__(self, url: str, window_ms: int = 2000, cycle_s: float = 0.005) -> None:
        self.block = FunctionBlock(structured_text())
        self.outcomes: list[PartOutcome] = []
        self.refused = 0
        self._cycle_s = cycle_s
        self._server = SignalServer(url, lambda _: None)
        self._inputs: dict[str, Value] = {
            "TaktMs": window_ms,
            "BootId": int(time.time()) & 0xFFFFFFFF,
        }
        self._parts: dict[int, str] = {}

    async def start(self) -> None:
        await self._server.open()
        await self._server.listen()

    async def stop(self) -> None:
        await self._server.close()

    async def play(self, plan: Sequence[PlannedPart], patience_s: float = 20.0) -> None:
        """Trigger each part as soon as the block allows, until each has its outcome.

        Raises:
            TimeoutError: the block allowed no trigger, or told no outcome, for so long.
        """
        waiting = list(plan)
        while waiting or self.block.variables["OpenParts"]:
            done = len(self.outcomes) + len(waiting)
            async with asyncio.timeout(patience_s):
                while done == len(self.outcomes) + len(waiting) and (
                    waiting or self.block.variables["OpenParts"]
                ):
                    given = bool(waiting) and bool(self.block.variables["MayTrigger"])
                    part = waiting[0] if given else None
                    await self.cycle(part)
                    if part is not None and not self.block.variables["Refused"]:
                        waiting.pop(0)
                    await asyncio.sleep(self._cycle_s)
            if not waiting:
                await self.cycle(None)
        for _ in range(20):  # the gateway reads the last acknowledgement
            await self.cycle(None)
            await asyncio.sleep(self._cycle_s)

    async def cycle(self, part: PlannedPart | None) -> None:
        """Read the gateway's signals, run the block, write its own; a part is a trigger."""
        variables = self.block.variables
        io = variables["Io"]
        assert isinstance(io, dict)
        before = dict(io)
        for signal in Signal:
            if signal.owner is Owner.GATEWAY and signal.wire_name in io:
                value: SignalValue = self._server.values[signal]
                assert isinstance(value, bool | int | float | str)
                io[signal.wire_name] = value
        variables.update(self._inputs)
        variables["Trigger"] = part is not None
        if part is not None:
            variables |= {"PartId": part.part_id, "LotId": part.lot_id}
            variables["ProductId"] = part.product_id
        self.block.cycle(int(time.monotonic() * 1000))
        if part is not None and variables["Refused"]:
            self.refused += 1
        elif part is not None:
            self._parts[int(str(io["TriggerSeq"]))] = part.part_id
        self._note(io)
        await self._server.put(_moved(before, io))

    def _note(self, io: dict[str, Value]) -> None:
        told = self.block.variables
        if told["OutcomeValid"]:
            seq, code, source = (int(str(told[f"Outcome{n}"])) for n in ("Seq", "Code", "Source"))
            names = self._parts[seq], str(io["ResultPartId"])
            self.outcomes.append(PartOutcome(seq, names[0], code, source, names[1]))


def _moved(before: dict[str, Value], now: dict[str, Value]) -> SignalValues:
    """What the program changed, TriggerSeq last, as the block writes it."""
    own = [s for s in Signal if s.owner is Owner.PLC and s.wire_name in now]
    own.sort(key=lambda signal: signal is Signal.TRIGGER_SEQ)
    return {s: now[s.wire_name] for s in own if before[s.wire_name] != now[s.wire_name]}
