"""Why a trigger was not captured, in words."""

from dataclasses import replace
from uuid import uuid4

from connectors.handshake import PartKey, step
from connectors.handshake import values as hs
from connectors.handshake.signals import Signal
from streams.codes import FaultCode
from streams.ports import Trigger
from tests.connectors.test_handshake import ready_world


def missed_because(event: hs.TriggerSeen, **state: object) -> list[str]:
    """Why each trigger is held, in a state that differs from a ready one."""
    world = ready_world(seed=21)
    _, commands = step(replace(world.state, **state), world.now, event)
    return [c.why for c in commands if isinstance(c, hs.Decide)]


def test_a_missed_trigger_says_why() -> None:
    seen = hs.TriggerSeen(Trigger(1, 1, "p", "", "tile", 0, 1000), uuid4())
    jumped = seen._replace(trigger=replace(seen.trigger, trigger_seq=3))
    faults = frozenset({FaultCode.CAMERA, FaultCode.KAFKA})
    not_ready = "the gateway was not ready: "
    assert missed_because(jumped) == ["TriggerSeq jumped from 0 to 3"] * 2
    assert missed_because(seen) == []
    assert missed_because(seen, faults=faults) == [not_ready + "fault CAMERA stands"]
    assert missed_because(seen, alive=False) == [not_ready + "PlcHeartbeat does not move"]
    busy = missed_because(seen, exposing=PartKey(1, 9))
    assert busy == [not_ready + "the camera is still at trigger 9"]


def test_triggers_of_an_outage_say_that_there_was_no_connection() -> None:
    world = ready_world(seed=22)
    world.cut()
    world.trigger()
    values = {**dict(world.plc), Signal.TRIGGER_SEQ: 1}
    _, commands = step(world.state, world.now, hs.Connected(values))
    (decide,) = [c for c in commands if isinstance(c, hs.Decide)]
    assert decide.why == "the gateway had no connection to the controller"
