"""Many simulated controllers in this process, which play rounds as they are told."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from lab.plc.controller import PlcConfig, SimulatedPlc
from lab.plc.ledger import entries_of
from lab.plc.plan import PlannedPart
from lab.plc.play import NoGatewayError, play

HEARTBEATS_MISSED = 60
"""A busy machine is no dead gateway."""
READY_S = 300.0
"""Until a gateway is ready, seconds: dozens of them on a busy machine take long."""
WINDOW_S = 20.0
"""Of each part: wide, since how long a part takes is measured here and not judged."""


@dataclass(frozen=True)
class LinesRound:
    """What is played: each line at a takt of its own, for so long."""

    name: str
    """Of the round: part of the parts' names."""
    product: str
    seconds: float
    takt_s: Mapping[str, float]
    """Seconds between triggers, by line; a line that is not named stands still."""
    in_flight: int = 0
    """At most so many parts of a line are without a result; 0: the takt alone counts."""
    stops: str = ""
    """This line's controller goes away for good in the middle of the round."""


@dataclass(frozen=True)
class LinePlayed:
    """What a controller saw in a round."""

    line: str
    parts: int
    decided: int
    """Parts with a result inside the window."""
    latencies_ms: tuple[float, ...]
    """From the trigger to the result at the controller, of each of these."""
    sources: Mapping[str, int]
    seconds: float


class Controllers:
    """The controllers by line."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self.plcs = {
            line: SimulatedPlc(PlcConfig(url, 1.0, WINDOW_S, heartbeat_missed=HEARTBEATS_MISSED))
            for line, url in urls.items()
        }

    async def start(self) -> None:
        """Their servers listen when this returns."""
        for plc in self.plcs.values():
            await plc.start()

    async def stop(self) -> None:
        """End them all."""
        for plc in self.plcs.values():
            await plc.stop()

    async def wait_ready(self) -> None:
        """Until a gateway is Ready for each. Raises ``NoGatewayError``."""
        for line, plc in self.plcs.items():
            if not await plc.wait_for(partial(_is_ready, plc), READY_S):
                raise NoGatewayError(f"{line}: no gateway was Ready within {READY_S:g} s")

    async def play(self, told: LinesRound) -> list[LinePlayed]:
        """One round of all lines that are named; the triggers of a takt are spread evenly."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._line(told, line, takt_s * n / len(told.takt_s)))
                for n, (line, takt_s) in enumerate(told.takt_s.items())
            ]
        return [task.result() for task in tasks]

    async def _line(self, told: LinesRound, line: str, delay_s: float) -> LinePlayed:
        plc, takt_s = self.plcs[line], told.takt_s[line]
        plc.ledger.rows.clear()
        parts = max(1, round(told.seconds / takt_s))
        plan = [
            PlannedPart(part_id=f"{line}-{told.name}-{n}", product_id=told.product, lot_id="lot")
            for n in range(parts)
        ]
        await asyncio.sleep(delay_s)
        begun = time.monotonic()
        playing = asyncio.create_task(
            play(plc, plan, takt_s=takt_s, in_flight=told.in_flight, ready_timeout_s=READY_S)
        )
        if line == told.stops:
            await asyncio.wait([playing], timeout=told.seconds / 2)
            playing.cancel()
            await plc.stop()
        await asyncio.gather(playing, return_exceptions=line == told.stops)
        return self._played(line, time.monotonic() - begun)

    def _played(self, line: str, seconds: float) -> LinePlayed:
        entries = entries_of(self.plcs[line].ledger.rows)
        results = [entry.applied[0] for entry in entries if entry.applied]
        return LinePlayed(
            line=line,
            parts=len(entries),
            decided=len(results),
            latencies_ms=tuple(row.ms or 0.0 for row in results),
            sources=Counter(row.source for row in results),
            seconds=round(seconds, 3),
        )


def _is_ready(plc: SimulatedPlc) -> bool:
    return plc.ready
