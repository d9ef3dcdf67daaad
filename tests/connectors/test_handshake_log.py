"""The log says each change of the handshake's state once, whoever caused it."""

from collections.abc import Iterable

import pytest

from connectors.gateway.handshake_log import FAULTS, changes
from connectors.handshake import HandshakeConfig, State, step
from connectors.handshake import values as hs
from connectors.handshake.signals import Signal
from streams.codes import FaultCode

ONLINE = {signal: signal.default for signal in Signal}


def logged(state: State, inputs: Iterable[tuple[float, hs.Input]]) -> list[str]:
    """What the log says of these inputs: each line's event, and its telling field."""
    said = []
    for now, event in inputs:
        before, (state, _) = state, step(state, now, event)
        for line in changes(before, state, event):
            told = line.fields.get("code", line.fields.get("active", ""))
            mark = "!" if line.is_problem else ""
            off = "" if line.fields.get("active", True) else " over"
            said.append(f"{mark}{line.event} {told}{off}".rstrip())
    return said


def beat(value: int) -> hs.CounterMoved:
    return hs.CounterMoved(Signal.PLC_HEARTBEAT, value)


def test_every_fault_has_words() -> None:
    assert set(FAULTS) == set(FaultCode) - {FaultCode.NONE}


def test_a_heartbeat_that_stops_is_said_once_and_so_is_its_return() -> None:
    config = HandshakeConfig()
    late = config.dead_after_s + 0.1
    ticks = [(late + 0.1 * i, hs.Notice.TICK) for i in range(20)]
    beats: list[tuple[float, hs.Input]] = [(0.0, hs.Connected(ONLINE)), (0.1, beat(1))]
    said = logged(State(config), [*beats, *ticks, (late + 3, beat(2)), (late + 3.1, beat(3))])
    assert said == [
        "plc.heartbeat",
        "!gateway.fault PLC_HEARTBEAT",
        "gateway.fault PLC_HEARTBEAT over",
        "plc.heartbeat",
    ]


def test_recipes_and_fault_resets_are_said() -> None:
    said = logged(
        State(HandshakeConfig()),
        [
            (0.0, hs.Connected(ONLINE)),
            (0.1, hs.RecipeRequested(1, 2)),
            (0.2, hs.RecipeRequested(1, 2)),
            (0.4, hs.Notice.STOP_REQUESTED),
            (0.5, hs.CounterMoved(Signal.FAULT_RESET_SEQ, 1)),
        ],
    )
    assert said == [
        "recipe.changed 2",
        "line.stop_request_reset",
        "plc.fault_reset",
    ]


def test_a_refused_recipe_is_a_fault_until_the_next_one() -> None:
    said = logged(
        State(HandshakeConfig.model_validate({"recipes": {1: "small"}})),
        [
            (0.0, hs.Connected(ONLINE)),
            (0.1, hs.RecipeRequested(1, 9)),
            (0.2, hs.RecipeRequested(2, 1)),
            (0.3, hs.RecipePrepared(2)),
        ],
    )
    assert said == ["!gateway.fault UNKNOWN_RECIPE", "gateway.fault UNKNOWN_RECIPE over"]


@pytest.mark.parametrize("code", [FaultCode.KAFKA, FaultCode.CAMERA])
def test_a_fault_of_the_shell_is_said_at_its_change(code: FaultCode) -> None:
    states = [True, True, False, False]
    said = logged(State(HandshakeConfig()), [(0.0, hs.FaultChanged(code, s)) for s in states])
    assert said == [f"!gateway.fault {code.name}", f"gateway.fault {code.name} over"]
