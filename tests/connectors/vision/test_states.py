"""The state machines of a vision system: the standard's transitions, and none besides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.vision.node_table import nodes, number_of
from connectors.vision.states import (
    AutomaticState,
    MainState,
    MoveCause,
    NotNowError,
    VisionState,
    step,
)

MACHINES = ("VisionStateMachineType", "VisionAutomaticModeStateMachineType")
OPERATIONAL = VisionState(MainState.OPERATIONAL, AutomaticState.INITIALIZED)
READY = VisionState(MainState.OPERATIONAL, AutomaticState.READY, ("tile",))


def ends(transition: str) -> tuple[str, str]:
    """From where and to where the standard's transition of a name leads."""
    owners = {number_of(name) for name in MACHINES}
    (row,) = [r for r in nodes().values() if r.parent in owners and r.plain_name == transition]
    found = [nodes()[row.more[end]].plain_name for end in ("FromState", "ToState")]
    return found[0], found[1]


@given(st.lists(st.tuples(st.sampled_from(MoveCause), st.sampled_from(["tile", "carpet"]))))
def test_every_move_is_a_transition_of_the_standard(causes: list[tuple[MoveCause, str]]) -> None:
    """Each transition leads from where its machine was, and the last ones to where they are."""
    state = VisionState()
    for cause, recipe in causes:
        before = state
        try:
            state, moved = step(state, cause, recipe)
        except NotNowError:
            continue
        at = {before.main.value, before.automatic.value if before.automatic else "Initialized"}
        for name in moved:
            start, end = ends(name)
            assert start in at, f"{name} from {at}"
            at = (at - {start}) | {end}
        assert state.main.value in at
        assert state.automatic is None or state.automatic.value in at
        assert (state.automatic is not None) == (state.main is MainState.OPERATIONAL)
        assert moved or (state.main, state.automatic) == (before.main, before.automatic)


@pytest.mark.parametrize(
    ("state", "cause", "moved"),
    [
        (VisionState(), MoveCause.AVAILABLE, ["PreoperationalToOperationalAuto"]),
        (VisionState(waits=True), MoveCause.AVAILABLE, []),
        (VisionState(waits=True), MoveCause.SELECT_AUTOMATIC, ["PreoperationalToOperational"]),
        (VisionState(), MoveCause.FAULT, ["PreoperationalToErrorAuto"]),
        (OPERATIONAL, MoveCause.PREPARED, ["InitializedToReadyRecipe"]),
        (READY, MoveCause.UNPREPARED, ["ReadyToInitializedRecipe"]),
        (READY, MoveCause.START_SINGLE, ["ReadyToSingleExecution"]),
        (READY, MoveCause.START_CONTINUOUS, ["ReadyToContinuousExecution"]),
        (READY, MoveCause.HALT, ["OperationalToHalted"]),
        (READY, MoveCause.FAULT, ["OperationalToErrorAuto"]),
        (VisionState(MainState.HALTED), MoveCause.FAULT, []),
        (VisionState(MainState.HALTED), MoveCause.AVAILABLE, []),
        (VisionState(MainState.HALTED), MoveCause.RESET, ["HaltedToPreoperational"]),
        (
            VisionState(MainState.ERROR, prepared=("tile",)),
            MoveCause.AVAILABLE,
            ["ErrorToOperationalAuto", "InitializedToReadyAuto"],
        ),
    ],
)
def test_where_a_cause_leads(state: VisionState, cause: MoveCause, moved: list[str]) -> None:
    assert list(step(state, cause, "tile")[1]) == moved


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (VisionState(), MoveCause.START_SINGLE),
        (VisionState(), MoveCause.RESET),
        (VisionState(), MoveCause.PREPARED),
        (OPERATIONAL, MoveCause.START_SINGLE),
        (OPERATIONAL, MoveCause.SELECT_AUTOMATIC),
        (READY, MoveCause.STOP),
        (VisionState(MainState.HALTED), MoveCause.HALT),
        (step(READY, MoveCause.START_SINGLE)[0], MoveCause.START_SINGLE),
        (step(READY, MoveCause.START_SINGLE)[0], MoveCause.PREPARED),
    ],
)
def test_what_does_not_lead_out_of_a_state_is_refused(state: VisionState, cause: MoveCause) -> None:
    with pytest.raises(NotNowError, match="does not lead out of"):
        step(state, cause)


def test_a_reset_forgets_what_was_prepared() -> None:
    state, _ = step(READY, MoveCause.RESET)
    assert state == VisionState(waits=True)


def test_the_last_recipe_prepared_stands_last() -> None:
    two, _ = step(READY, MoveCause.PREPARED, "carpet")
    assert two.prepared == ("tile", "carpet")
    assert step(two, MoveCause.PREPARED, "tile")[0].prepared == ("carpet", "tile")
    left, moved = step(two, MoveCause.UNPREPARED, "tile")
    assert (left.prepared, left.automatic, moved) == (("carpet",), AutomaticState.READY, ())
