"""A gateway on the controller of somebody else, through a cable that is pulled out now and then."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from streams.events import Decision, Frame
from tests.connectors.line import Line, decision_for
from tests.interop.plc.cable import Cable, cable
from tests.interop.plc.programs import ForeignPlc, Options, Row, start_plc
from tests.waiting import until

PATIENCE_S = 120.0


@dataclass
class ForeignLine:
    """A gateway that stays, and a controller that is started again and again."""

    kind: str
    line: Line
    cable: Cable
    plc: ForeignPlc
    options: dict[str, object]
    rows: list[Row] = field(default_factory=list)
    """Of the runs before this one."""
    resumed_s: list[float] = field(default_factory=list)
    """From the cable put in, or the server listening again, until the gateway is Ready."""

    @property
    def is_served(self) -> bool:
        gateway = self.line.gateway
        assert gateway is not None
        return gateway._state.online and gateway._state.ready

    async def start_gateway(self) -> None:
        await self.line.start_gateway(ready=False)
        await until(lambda: self.is_served, PATIENCE_S)

    async def triggered(self, count: int) -> None:
        """Wait until this run has given so many triggers."""
        await until(lambda: self.plc.count("trigger") >= count, PATIENCE_S + count)

    async def done(self) -> None:
        await until(lambda: self.plc.count("done") == 1, PATIENCE_S + 10 * int(self.parts))

    @property
    def parts(self) -> int:
        return int(str(self.options["parts"]))

    async def cut(self, seconds: float) -> None:
        """Pull the cable for a while, and wait until the gateway serves again."""
        self.cable.pull()
        await until(lambda: not self.is_served, PATIENCE_S)
        await asyncio.sleep(seconds)
        self.cable.put_in()
        await self._resumed()

    async def restart(self, **more: object) -> None:
        """Kill the controller and start it cold, with other options as a download gives them."""
        await self.plc.kill()
        settled = {r["trigger_seq"] for r in self.plc.rows if r["event"] in ("result", "default")}
        given = {r["trigger_seq"] for r in self.plc.rows if r["event"] == "trigger"}
        lost = {"event": "power_loss", "boot": self.options["boot"], "open": given - settled}
        self.rows += [*self.plc.rows, lost]
        await until(lambda: not self.is_served, PATIENCE_S)
        self.options |= {"boot": int(str(self.options["boot"])) + 1, **more}
        self.plc = await start_plc(self.kind, self.options)
        await self._resumed()

    async def _resumed(self) -> None:
        since = time.monotonic()
        await until(lambda: self.is_served, PATIENCE_S)
        self.resumed_s.append(time.monotonic() - since)


@asynccontextmanager
async def foreign_line(
    kind: str, folder: Path, settings: GatewaySettings | None = None, **options: object
) -> AsyncIterator[ForeignLine]:
    """A controller of ``kind`` whose program runs; the gateway is started by the test."""
    given: dict[str, object] = {
        "port": free_port(),
        "boot": 1,
        "parts": 10,
        "prefix": "part",
        "window_ms": 20_000,
        **options,
    }
    plc = await start_plc(kind, given)
    try:
        async with cable(int(str(given["port"]))) as wire:
            url = f"opc.tcp://127.0.0.1:{wire.port}"
            stands_for = SimpleNamespace(config=SimpleNamespace(url=url))
            own = settings or GatewaySettings(plc_timeout_s=5.0)
            line = Line(folder, stands_for, config=own, owned=True)  # type: ignore[arg-type]
            line.bus.answer = in_its_own_time(random.Random(1))
            made = ForeignLine(kind, line, wire, plc, given)
            try:
                yield made
            finally:
                await line.stop_gateway()
                await line.bus.close()
                plc = made.plc
    finally:
        await plc.kill()


def in_its_own_time(rng: random.Random):  # type: ignore[no-untyped-def]
    """Workers that need up to 150 ms for a part."""

    async def answer(frame: Frame) -> Decision:
        await asyncio.sleep(rng.uniform(0.0, 0.15))
        return decision_for(frame)

    return answer


def figures(rows: Sequence[Row]) -> dict[str, object]:
    """What the controllers say; a part that was open at a loss of power has no outcome."""
    part_of = {(r["boot"], r["trigger_seq"]): r["part_id"] for r in rows if r["event"] == "trigger"}
    results = [row for row in rows if row["event"] == "result"]
    told = Counter((row["boot"], row["trigger_seq"]) for row in results)
    defaults = {(r["boot"], r["trigger_seq"]) for r in rows if r["event"] == "default"}
    undecided = {key for key in part_of if not told[key]} - defaults
    lost = {(r["boot"], seq) for r in rows if r["event"] == "power_loss" for seq in r["open"]}
    return {
        "triggers": len(part_of),
        "one_result": sum(told[key] == 1 for key in part_of),
        "two_results": sum(count > 1 for count in told.values()),
        "another_part": sum(
            row["part_id"] not in ("", part_of.get((row["boot"], row["trigger_seq"])))
            or (row["part_id"] == "" and row["reason"] != 21)
            for row in results
        ),
        "lost_power": len(undecided & lost),
        "without_outcome": len(undecided - lost),
        "by_default": len(defaults),
        "after_default": sum(not row["in_window"] for row in results),
        "by_source": dict(Counter(row["source"] for row in results)),
    }


async def run(kind: str, folder: Path, triggers: int, faults: bool) -> dict[str, object]:
    """A whole run: with faults, five cuts, three restarts, and a download with other indexes."""
    options: Options = {"parts": triggers}
    async with foreign_line(kind, folder, **options) as made:
        await made.start_gateway()
        if faults:
            share = max(triggers // 9, 1)
            made_parts = 0
            for number in range(9):
                await made.triggered(share)
                if number % 2 == 0:
                    await made.cut(0.2 + 0.1 * number)
                    await made.triggered(made.plc.count("trigger") + 1)
                    continue
                made_parts += made.plc.count("trigger")
                indexes = {"namespaces": ["urn:before", "urn:andon:line"]} if number == 7 else {}
                await made.restart(parts=max(triggers - made_parts, share + 3), **indexes)
        await made.done()
        found = figures([*made.rows, *made.plc.rows])
        return found | {"resumed_s": [round(s, 2) for s in made.resumed_s]}
