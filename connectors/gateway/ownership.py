"""One gateway per line controller: a link that lets the gateway work only while it is in charge.

A stand-by sees a controller that is not connected; it is connected all the same, and takes over
when the gateway in charge falls silent. Who is in charge stands in the controller itself
(``claims``), so that neither a broker's outage nor a clock has a say in it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from connectors.errors import GatewayBusyError, LinkError
from connectors.gateway.claims import Charge, Watch, beat_of, gateway_of, new_number
from connectors.handshake.config import HandshakeConfig
from connectors.handshake.signals import (
    ALL_AS_READ,
    NEEDED,
    NEVER_GUESSED,
    Signal,
    SignalValue,
    SignalValues,
    number,
)
from connectors.handshake.values import Connected, Notice, TriggerAge
from connectors.line_link import Changed, LineLink, LinkEvent

log = structlog.get_logger(__name__)
_SETTLE_S = 0.3
"""A claim stands when it was not written over for this long at the least, seconds."""
_CHECKED_S = _SETTLE_S / 3
"""What was read of the register is good for this long: no claim is settled sooner, seconds."""
_POLL_S = 0.1


class OwnedLink:
    """``LineLink`` of the gateway in charge over the connection of one that may not be.

    Args:
        link: the connection to the controller.
        config: heartbeats, from which it follows when a gateway is dead.
        memory: a file beside the journal with the number under which it was in charge.
        standby: wait while another gateway is in charge; without it, ``run`` ends with
            ``GatewayBusyError``.
    """

    def __init__(
        self, link: LineLink, config: HandshakeConfig, memory: Path, standby: bool
    ) -> None:
        self._link = link
        self._config = config
        self._memory = memory
        self._standby = standby
        self._number = 0
        self._before = 0
        self._count = 0
        self._ready = False
        self._checked_at = -1.0
        self._writing_since: float | None = None
        """When the register was looked at before the write that is under way."""
        self._dead_s = config.dead_after_s - max(config.heartbeat_s / 2 - _SETTLE_S, 0.0)
        """Nobody else is in charge sooner after a look at the register."""
        self._guarded = True
        self._connected: Connected | None = None
        self._held: list[LinkEvent] | None = None
        self._seeking: asyncio.Task[None] | None = None
        self._other = 0
        self._tell: Callable[[LinkEvent], None] = lambda _: None
        self._ended: asyncio.Future[None] | None = None
        self.in_charge = False
        """Whether this gateway may write to the controller."""

    @property
    def number(self) -> int:
        """The number of the gateway in charge: this one's, or of the other that it stands by for;
        0 where nobody is known to be, as while the controller is away."""
        return self._number if self.in_charge else self._other

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        """As the port says.

        Raises:
            GatewayBusyError: another gateway is in charge, and this one is no stand-by.
        """
        self._tell = on_event
        self._before = self._before or await asyncio.to_thread(_remembered, self._memory)
        self._ended = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(self._link.run(self._hear), name="line link")
        try:
            await asyncio.wait({serving, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop_seeking()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            if not self._ended.done():
                self._ended.cancel()
        if not self._ended.cancelled():
            self._ended.result()
        serving.result()

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        """As the port says; a gateway that is not in charge has nothing to read.

        Who is in charge is read with it, so that a write soon after need not ask for itself.
        """
        self._check_charge()
        wanted = tuple(signals)
        if not self._guarded or Signal.VISION_HEARTBEAT in wanted:
            return await self._link.read(wanted)
        asked_at = time.monotonic()
        found = await self._link.read((*wanted, Signal.VISION_HEARTBEAT))
        self._judge(found.pop(Signal.VISION_HEARTBEAT, 0), asked_at)
        return found

    def trigger_age(self) -> TriggerAge:
        """As the port says."""
        return self._link.trigger_age()

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        """As the port says, once the register says that this gateway is in charge still.

        Every write carries the gateway's beat, so that where two write in spite of all, the one
        that claimed finds it and gives way; and Ready, which a claim takes down.
        """
        self._check_charge()
        if not self._guarded:
            return await self._link.write(values)
        if time.monotonic() - self._checked_at >= _CHECKED_S:
            await self._check()
        if Signal.VISION_HEARTBEAT in values:
            self._count = number(values, Signal.VISION_HEARTBEAT)
        self._ready = bool(values.get(Signal.READY, self._ready))
        mine: dict[Signal, SignalValue] = {
            Signal.READY: self._ready,
            Signal.VISION_HEARTBEAT: beat_of(self._number, self._count),
        }
        self._writing_since = self._checked_at
        try:
            refused = await self._link.write({**values, **mine}) & values.keys()
            self._check_slept(time.monotonic())
        finally:
            self._writing_since = None
        return refused

    def _check_charge(self) -> None:
        if not self.in_charge:
            raise LinkError("this gateway is not in charge of the line controller")

    async def _check(self) -> None:
        """Read who is in charge. Raises ``LinkError`` when it is another gateway."""
        asked_at = time.monotonic()
        found = await self._link.read([Signal.VISION_HEARTBEAT])
        self._judge(found.get(Signal.VISION_HEARTBEAT, 0), asked_at)

    def _judge(self, beat: SignalValue, asked_at: float) -> None:
        """What the register said to a question of that moment. Raises as ``_check``."""
        if beat and gateway_of(int(str(beat))) != self._number:
            self._lose(f"gateway {gateway_of(int(str(beat)))} has taken over")
        self._check_charge()
        self._check_slept(asked_at)
        self._checked_at = asked_at

    def _check_slept(self, now: float) -> None:
        """Look at the controller anew where a write took as long as it takes to be taken over from.

        Whoever was stopped between its look at the register and its write has written over the
        number of the other gateway, and finds its own: what the other acknowledged is no missed
        trigger.

        Raises:
            LinkError: that is so; the gateway is told of its controller anew, if it is in charge.
        """
        if self._writing_since is None or now - self._writing_since <= self._dead_s:
            return
        slow = "the controller is slow if this comes again: andon plc check says which heartbeat_ms"
        seconds = round(now - self._writing_since, 2)
        log.warning("gateway.was_silent", seconds=seconds, remedy=slow)
        self._check_charge()
        self.in_charge = False
        self._tell(Notice.DISCONNECTED)
        self._seek()
        raise LinkError("this gateway was silent, and another may have served meanwhile")

    def _lose(self, why: str) -> None:
        if not self.in_charge:
            return
        log.error("gateway.no_longer_in_charge", why=why, standby=self._standby)
        self.in_charge, self._number = False, 0
        self._tell(Notice.DISCONNECTED)
        if self._standby:
            self._seek()
        else:
            self._refuse()

    # --- from the connection --------------------------------------------------------------

    def _hear(self, event: LinkEvent) -> None:
        match event:
            case Connected():
                self._connected = event
                self._seek()
            case Notice.DISCONNECTED:
                self._other = 0
                self._stop_seeking()
                if self.in_charge:
                    self.in_charge = False
                    self._tell(event)
            case Changed():
                if self.in_charge:
                    self._tell(event)
                elif self._held is not None:
                    self._held.append(event)

    def _seek(self) -> None:
        self._stop_seeking()
        self._seeking = asyncio.create_task(self._until_in_charge(), name="who is in charge")

    def _stop_seeking(self) -> None:
        self._held = None
        if self._seeking is not None:
            self._seeking.cancel()
            self._seeking = None

    def _refuse(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(
                GatewayBusyError(
                    "another gateway is in charge of this line controller; stop it first, or "
                    "start this one with --standby to take over when the other falls silent"
                )
            )

    async def _until_in_charge(self) -> None:
        with contextlib.suppress(LinkError):  # the next connection begins anew
            while not await self._won():
                pass
            await self._begin()

    async def _won(self) -> bool:
        """Watch until nobody is in charge, then claim; whether the claim stood."""
        beat_s, dead_s = self._config.heartbeat_s, self._config.dead_after_s
        watch = Watch(
            self._number, self._before, dead_s + beat_s / 2, 1.5 * beat_s, not self._standby
        )
        told = False
        while True:
            beat, online = await self._look()
            match watch.look(time.monotonic(), beat, online):
                case Charge.OURS:
                    return True
                case Charge.FREE:
                    return await self._claim(beat)
                case Charge.TAKEN if not self._standby:
                    self._refuse()
                    await asyncio.Event().wait()
                case Charge.TAKEN if not told:
                    told, self._other = True, gateway_of(beat)
                    log.info("gateway.standing_by", in_charge=gateway_of(beat))
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> tuple[int, bool]:
        found = await self._link.read([Signal.VISION_HEARTBEAT, Signal.ONLINE])
        beat = found.get(Signal.VISION_HEARTBEAT, 0)
        assert isinstance(beat, int)
        return beat, bool(found.get(Signal.ONLINE, True))

    async def _claim(self, beat: int) -> bool:
        mine = new_number(beat)
        claim: dict[Signal, SignalValue] = {Signal.VISION_HEARTBEAT: beat_of(mine, 1)}
        # the heartbeat moves now, and what a dead gateway said of Ready must not count again
        claim |= {Signal.ONLINE: True, Signal.READY: False}
        began = time.monotonic()
        refused = await self._link.write(claim)
        if Signal.VISION_HEARTBEAT in refused:
            log.error("gateway.ownership_unknown", why="VisionHeartbeat cannot be written")
            self._guarded = False
            return True
        took_s = time.monotonic() - began
        # another gateway's write that is on its way may take as long, and twice that
        await asyncio.sleep(max(_SETTLE_S, _CHECKED_S + 2 * took_s))
        stands, _ = await self._look()
        if gateway_of(stands) != mine:
            return False
        self._number, self._count, self._ready = mine, 1, False
        self._before = mine
        _remember(self._memory, mine)
        log.info("gateway.in_charge", number=mine, after=gateway_of(beat))
        return True

    async def _begin(self) -> None:
        """Tell the gateway of its controller, as it stands now.

        What the connection began with may be of hours ago, and stands for no signal that a line
        needs, nor for what the controller asks for.
        """
        assert self._connected is not None
        while True:
            self._held = []
            values = await self._link.read(ALL_AS_READ)
            if values.keys() >= NEEDED:
                break
            await asyncio.sleep(_POLL_S)
        held, self._held = self._held, None
        self.in_charge = True
        told = {s: v for s, v in self._connected.values.items() if s not in NEVER_GUESSED}
        self._tell(self._connected._replace(values={**told, **values}))
        for event in held:
            self._tell(event)


def _remembered(path: Path) -> int:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _remember(path: Path, own: int) -> None:
    """Without it a restart waits as long as for any other gateway."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".owner-new")
        fresh.write_text(str(own), "ascii")
        fresh.replace(path)
