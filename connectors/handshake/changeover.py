"""The recipe: a change-over begins with a request and ends when every stage has it, or is refused.

While one is under way the gateway is not Ready. It is acknowledged once every stage has the recipe
and every part captured before is decided, so that nothing is decided by the old recipe afterwards.
"""

from collections.abc import Sequence
from dataclasses import replace

from connectors.handshake.results import Step
from connectors.handshake.signals import Signal, SignalValues, number
from connectors.handshake.state import RECIPE_FAULTS, State
from connectors.handshake.values import (
    AbandonRecipe,
    Changeover,
    Command,
    Phase,
    PrepareRecipe,
    RecipePrepared,
    RecipeRefused,
    RecipeReport,
    RecipeRequested,
)
from streams.codes import FaultCode
from streams.names import normal_form
from streams.ports import Trigger

AGAIN_S = 10.0
"""After so long the recipe that is shown is prepared again, where a stage could not have it."""
SUPERSEDED = (FaultCode.NONE, "the controller asked for another one meanwhile")


def heard(
    state: State, now: float, event: RecipeRequested | RecipePrepared | RecipeRefused
) -> Step:
    """The controller asks for a recipe, or the stages have answered."""
    match event:
        case RecipeRequested():
            return requested(state, now, event)
        case RecipePrepared():
            return _prepared(state, event), []
        case RecipeRefused():
            return _refused(state, now, event)


def requested(state: State, now: float, event: RecipeRequested) -> Step:
    """The controller asks for a recipe; the same request again changes nothing."""
    config, running = state.config, state.changeover
    if event.seq == (running.seq if running is not None else state.recipe_ack_seq):
        return state, []
    if not config.recipes:
        return _echoed(state, event), []
    if event.seq == 0:
        return _without(state, now)
    if not event.is_readable:
        why = "RecipeReq has no good quality, and the log names it"
        return _unknown(state, now, event.seq, 0, (FaultCode.RECIPE_UNREADABLE, why))
    recipe = config.recipe_number(event.recipe, event.name)
    if recipe is not None:
        return _begin(state, now, event.seq, recipe)
    wanted = event.recipe or event.name or "0"
    why = f"recipe {wanted} is not among gateway.recipes"
    return _unknown(state, now, event.seq, event.recipe, (FaultCode.UNKNOWN_RECIPE, why))


def _echoed(state: State, event: RecipeRequested) -> State:
    """Without configured recipes a request is acknowledged and shown, if it can be read."""
    faults = state.faults - RECIPE_FAULTS
    state = replace(state, recipe_ack_seq=event.seq, faults=faults)
    if event.is_readable:
        return replace(state, recipe_active=event.recipe)
    return replace(state, faults=faults | {FaultCode.RECIPE_UNREADABLE})


def reconnected(state: State, now: float, values: SignalValues) -> Step:
    """What the controller shows counts: a recipe that it has acknowledged is prepared again where
    this process does not know that every stage has it. After a cold start none is in force."""
    active, acknowledged = (
        number(values, Signal.RECIPE_ACTIVE),
        number(values, Signal.RECIPE_ACK_SEQ),
    )
    # without its number a request is not seen: the subscription tells it once that is good
    asked = recipe_of({Signal.RECIPE_REQ_SEQ: acknowledged, **values})
    running = state.changeover
    if not state.config.recipes:
        state = replace(state, recipe_ack_seq=acknowledged, recipe_active=active)
        return requested(state, now, asked) if asked.is_readable else (state, [])
    is_set = state.recipe_set and active == state.recipe_active and active != 0
    known = active if active in state.config.recipes else 0
    state = replace(
        state, recipe_ack_seq=acknowledged, recipe_active=known, recipe_set=is_set and known != 0
    )
    if running is not None and _answers(state, running, asked):
        return state, []
    if asked.seq != acknowledged and asked.is_readable:
        return requested(state, now, asked)
    state, dropped = _drop(state, now)
    state, commands = again(state, now)
    return state, [*dropped, *commands]


def again(state: State, now: float) -> Step:
    """Prepare the recipe that is shown once more, where not every stage has it."""
    if not state.config.recipes or state.recipe_set or not state.recipe_active:
        return state, []
    if state.changeover is not None and state.changeover.recipe == state.recipe_active:
        return state, []
    return _begin(state, now, state.recipe_ack_seq, state.recipe_active)


def advance(state: State, now: float) -> Step:
    """What is due of the change-over under way, whatever has just happened."""
    running = state.changeover
    if state.lacks_its_recipe and now >= state.recipe_again_at:
        state, begun = again(state, now)
        state, asked = advance(state, now)
        return state, [*begun, *asked]
    if running is None or running.refusal is not None:
        return state, []
    if running.prepared and (running.recipe == state.recipe_active or _is_drained(state)):
        state = replace(
            state,
            changeover=None,
            recipe_active=running.recipe,
            recipe_set=True,
            recipe_ack_seq=running.seq,
            faults=state.faults - RECIPE_FAULTS,
        )
        return state, [RecipeReport(running, now)]
    if now >= running.deadline:
        waits = "parts captured before are not decided" if running.prepared else ""
        running = replace(running, refusal=(FaultCode.RECIPE_TIMEOUT, waits), asked=True)
        return replace(state, changeover=running), [AbandonRecipe(running)]
    if running.asked or state.exposing is not None:
        return state, []
    running = replace(running, asked=True)
    return replace(state, changeover=running), [PrepareRecipe(running)]


def _prepared(state: State, event: RecipePrepared) -> State:
    """Every stage has it."""
    running = state.changeover
    if running is None or running.number != event.number or running.refusal is not None:
        return state
    return replace(state, changeover=replace(running, prepared=True))


def _refused(state: State, now: float, event: RecipeRefused) -> Step:
    """It cannot be had, and the one before stands: acknowledged all the same, with a fault."""
    running = state.changeover
    if running is None or running.number != event.number:
        return state, []
    code, why = running.refusal or (event.code, event.why)
    return _refuse(state, now, running, (code, why or event.why))


def under_recipe(state: State, trigger: Trigger) -> tuple[Trigger, int, str]:
    """The trigger as the recipe in force has it, that recipe's number, and why it cannot be so.

    The recipe says the product. A controller may leave ProductId empty; one that names another
    product contradicts itself, and the part is held.
    """
    if not state.config.recipes or not state.has_recipe:
        return trigger, 0, ""
    active = state.recipe_active
    product, named = state.config.recipes[active].product, normal_form(trigger.product_id)
    if named and named != product:
        return trigger, 0, f"ProductId is {named!r}, and recipe {active} is of {product!r}"
    return replace(trigger, product_id=product), active, ""


def recipe_of(values: SignalValues) -> RecipeRequested:
    """The recipe request as read, by number or by name."""
    seq, wanted = number(values, Signal.RECIPE_REQ_SEQ), values.get(Signal.RECIPE_REQ)
    if wanted is None:
        return RecipeRequested(seq, 0, is_readable=False)
    if isinstance(wanted, str):
        return RecipeRequested(seq, 0, normal_form(wanted))
    return RecipeRequested(seq, number(values, Signal.RECIPE_REQ))


def _begin(state: State, now: float, seq: int, recipe: int) -> Step:
    number_ = state.changeovers + 1
    before = state.recipe_active if state.recipe_set else 0
    deadline = now + state.config.recipe_timeout_s
    commands: Sequence[Command] = ()
    if state.changeover is not None:
        commands = [RecipeReport(state.changeover, now, SUPERSEDED)]
    begun = Changeover(number_, seq, recipe, before, now, deadline)
    return replace(state, changeover=begun, changeovers=number_), [*commands]


def _unknown(
    state: State, now: float, seq: int, recipe: int, refusal: tuple[FaultCode, str]
) -> Step:
    """A request for what there is not; a change-over under way is given up for it."""
    running = state.changeover
    state, commands = _begin(state, now, seq, recipe)
    assert state.changeover is not None
    if running is None:
        return _refuse(state, now, state.changeover, refusal)
    begun = replace(state.changeover, refusal=refusal, asked=True)
    return replace(state, changeover=begun), [*commands, AbandonRecipe(begun)]


def _refuse(state: State, now: float, ended: Changeover, refusal: tuple[FaultCode, str]) -> Step:
    state = replace(
        state,
        changeover=None,
        recipe_ack_seq=ended.seq,
        recipe_again_at=now + AGAIN_S,
        faults=(state.faults - RECIPE_FAULTS) | {refusal[0]},
    )
    return state, [RecipeReport(ended, now, refusal)]


def _without(state: State, now: float) -> Step:
    """``RecipeReqSeq`` is 0, the controller's cold start: no recipe is in force any more."""
    state, commands = _drop(state, now)
    return replace(state, recipe_ack_seq=0, recipe_active=0, recipe_set=False), commands


def _drop(state: State, now: float) -> Step:
    """End a change-over that the controller no longer waits for; where the stages stand is not
    known after it."""
    running = state.changeover
    if running is None:
        return state, []
    why = (FaultCode.NONE, "the controller started anew")
    state = replace(state, changeover=None, recipe_set=False)
    return state, [AbandonRecipe(running), RecipeReport(running, now, why)]


def _answers(state: State, running: Changeover, asked: RecipeRequested) -> bool:
    """Whether the change-over under way is the one that the controller waits for."""
    if running.seq != asked.seq:
        return False
    if asked.seq == state.recipe_ack_seq:  # answered before: it brings back what is shown
        return running.recipe == state.recipe_active
    wanted = state.config.recipe_number(asked.recipe, asked.name)
    return not asked.is_readable or running.recipe == wanted


def _is_drained(state: State) -> bool:
    """Whether every captured part has its verdict."""
    return not any(p.phase is Phase.OPEN and not p.missed for p in state.parts.values())
