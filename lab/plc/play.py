"""Plays a plan on the simulated controller: takt, ready, in-flight limit, the end."""

import asyncio
import time
from collections.abc import Callable, Sequence

from connectors.handshake.signals import Signal
from lab.plc.controller import SimulatedPlc
from lab.plc.ledger import code_name
from lab.plc.plan import PlannedPart
from streams.codes import FaultCode
from streams.errors import AndonError


class NoGatewayError(AndonError):
    """No gateway was Online and Ready in time."""


LAST_ACK_S = 1.0
"""Seconds that the server stays after its last acknowledgement, for the gateway to read it."""
MOST_LAST_ACKS = 10
"""So many times at most it stays again because of one more acknowledgement."""


async def play(
    plc: SimulatedPlc,
    plan: Sequence[PlannedPart],
    *,
    takt_s: float,
    in_flight: int = 0,
    ready_timeout_s: float = 60.0,
    ready_wait_s: float | None = None,
    on_part: Callable[[int], None] = lambda _: None,
) -> None:
    """Trigger each part of ``plan`` at its takt; returns when the last window is over.

    Args:
        in_flight: most parts without a result; the next trigger waits for one. 0: no limit.
        ready_timeout_s: the gateway must be Online and Ready before the first trigger.
        ready_wait_s: a part waits this long for Ready, then is triggered all the same (and held);
            None: the takt; with ``in_flight``, the result window: such a line waits for Andon.
        on_part: called with the number of parts triggered so far.

    Raises:
        NoGatewayError: no gateway was Ready in time, or it refused a recipe of the plan.
    """
    if plan and plan[0].recipe:
        await plc.wait_for(lambda: plc.gateway_alive, ready_timeout_s)
        await _change_over(plc, plan[0], ready_timeout_s)
    if not await plc.wait_for(lambda: plc.ready, ready_timeout_s):
        raise NoGatewayError(
            f"no gateway was Online and Ready within {ready_timeout_s:g} s: start `andon gateway` "
            f"against {plc.config.url}, or look at its log"
        )
    await plc.put({Signal.TRIGGER_ENABLE: True})
    slot = time.monotonic()
    waiting = plc.config.result_window_s if in_flight else takt_s
    for number, part in enumerate(plan, 1):
        await asyncio.sleep(max(slot - time.monotonic(), 0.0))
        if in_flight:
            await plc.wait_for(lambda: plc.open_parts < in_flight, plc.config.result_window_s + 1)
        await _change_over(plc, part, ready_timeout_s)
        patience = waiting if ready_wait_s is None else ready_wait_s
        await plc.wait_for(lambda: plc.ready or not plc.gateway_alive, patience)
        await plc.trigger(part)
        on_part(number)
        slot = max(slot + takt_s, time.monotonic())
    await plc.wait_for(lambda: plc.open_parts == 0, plc.config.result_window_s + 1)
    await plc.wait_for(lambda: _all_acknowledged(plc), 2.0)
    await plc.put({Signal.TRIGGER_ENABLE: False})
    for _ in range(MOST_LAST_ACKS):  # a gateway that comes back now writes what it still owes
        acknowledged = plc.gateway(Signal.RESULT_ACK_SEQ)
        await asyncio.sleep(LAST_ACK_S)
        if plc.gateway(Signal.RESULT_ACK_SEQ) == acknowledged:
            return


async def _change_over(plc: SimulatedPlc, part: PlannedPart, timeout_s: float) -> None:
    """Ask for the part's recipe where another one is in force, and wait until it is."""
    if part.recipe in (0, plc.gateway(Signal.RECIPE_ACTIVE)):
        return
    if not await plc.change_recipe(part.recipe, timeout_s):
        code = code_name(FaultCode, plc.gateway(Signal.FAULT_CODE))
        raise NoGatewayError(
            f"{part.part_id}: recipe {part.recipe} was refused or not answered within "
            f"{timeout_s:g} s (FaultCode {code}); the gateway's log says why"
        )
    await plc.wait_for(lambda: plc.ready, timeout_s)


def _all_acknowledged(plc: SimulatedPlc) -> bool:
    pending = plc.gateway(Signal.PENDING_RESULTS) not in (0, 1)
    return not pending and plc.gateway(Signal.RESULT_SEQ) == plc.gateway(Signal.RESULT_ACK_SEQ)
