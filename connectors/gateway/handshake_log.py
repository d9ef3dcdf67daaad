"""What the log says of the handshake: one line for each change of its state. Pure."""

from typing import Final, NamedTuple

from connectors.handshake.state import State
from connectors.handshake.values import Connected, Input
from streams.codes import FaultCode

FAULTS: Final = {
    FaultCode.CAMERA: "the camera does not open or gives no picture",
    FaultCode.KAFKA: "Kafka takes nothing: what is sent waits on disk",
    FaultCode.JOURNAL: "the journal cannot be written",
    FaultCode.SPOOL_FULL: "the spool is full, or cannot be written",
    FaultCode.PLC_HEARTBEAT: "PlcHeartbeat stands still",
    FaultCode.RESULT_OVERRUN: "the controller acknowledges no results, and one was dropped",
    FaultCode.FOLLOWER: "decisions or policies cannot be read from Kafka, or a policy was refused",
    FaultCode.SIGNAL_REFUSED: "the controller refuses a signal: see plc.signal_refused",
    FaultCode.RESULT_REFUSED: "the controller refuses a signal without which no result is told",
    FaultCode.UNKNOWN_RECIPE: "the controller asks for a recipe that is not among gateway.recipes",
    FaultCode.RECIPE_EXPERT: "the recipe's expert is not in force in Serve: see recipe.refused",
    FaultCode.RECIPE_POLICY: "the recipe's policy is not in force: see recipe.refused",
    FaultCode.RECIPE_CAMERA: "the camera refuses a feature of the recipe: see recipe.refused",
    FaultCode.RECIPE_TIMEOUT: "a stage did not answer for the recipe: see recipe.refused",
    FaultCode.RECIPE_UNREADABLE: "RecipeReq has no good quality: see plc.value_unusable",
    FaultCode.CLOCK_SKEW: "a worker's clock is off: see clock.skew",
    FaultCode.NO_WINDOW: "TaktMs gives no result window: write it, or set gateway.result_window_ms",
}
"""Every fault in words."""


class Said(NamedTuple):
    """One line of the log."""

    event: str
    fields: dict[str, object]
    is_problem: bool = False


def changes(before: State, after: State, event: Input) -> list[Said]:
    """What changed with one input, for the log."""
    said = [
        Said("gateway.fault", {"code": code.name, "active": True, "what": FAULTS[code]}, True)
        for code in sorted(after.faults - before.faults)
    ]
    said += [
        Said("gateway.fault", {"code": code.name, "active": False})
        for code in sorted(before.faults - after.faults)
    ]
    if after.alive and not before.alive:
        said.append(Said("plc.heartbeat", {"moves": True}))
    if before.stop_request and not after.stop_request:
        said.append(Said("line.stop_request_reset", {}))
    reset_seq = before.fault_reset_seq
    if reset_seq not in (None, after.fault_reset_seq) and not isinstance(event, Connected):
        said.append(Said("plc.fault_reset", {"seq": after.fault_reset_seq}))
    if not after.config.recipes and before.online and before.recipe_active != after.recipe_active:
        words: dict[str, object] = {"seq": after.recipe_ack_seq, "active": after.recipe_active}
        said.append(Said("recipe.changed", words | {"before": before.recipe_active}))
    return said
