"""A change of the recipe in the pure handshake: what is asked, held, acknowledged and refused."""

import pytest

from connectors.handshake import HandshakeConfig
from connectors.handshake import values as hs
from connectors.handshake.signals import Signal
from streams.codes import FaultCode, ResultCode
from tests.connectors.world import World

RECIPES = {1: {"product": "small"}, 2: {"product": "large"}, 3: {"product": "p", "name": "P"}}
CONFIG = HandshakeConfig.model_validate({"recipes": RECIPES, "recipe_timeout_s": 5.0})


def world_at(seed: int = 1, **options: object) -> World:
    """Connected; no recipe was ever asked for."""
    world = World(seed=seed, **{"config": CONFIG, "product": "", **options})  # type: ignore[arg-type]
    world.connect()
    world.run(1.0)
    return world


def under(recipe: int, **options: object) -> World:
    world = world_at(**options)
    world.ask(recipe)
    world.run(1.0)
    assert world.plc[Signal.READY]
    return world


def shown(world: World) -> tuple[int, int, int]:
    plc = world.plc
    return plc[Signal.RECIPE_ACK_SEQ], plc[Signal.RECIPE_ACTIVE], plc[Signal.FAULT_CODE]


def outcomes(world: World) -> list[tuple[int, FaultCode | None]]:
    """Recipe and refusal of every change-over that ended."""
    return [(r.changeover.recipe, r.refusal[0] if r.refusal else None) for r in world.changeovers]


def test_no_part_is_captured_before_a_recipe_is_in_force() -> None:
    world = world_at()
    assert not world.plc[Signal.READY]
    assert "no recipe is in force" in world.state.why_not_ready
    key = world.trigger()
    world.run(2)
    assert world.results[key][0][2] == ResultCode.HOLD
    world.ask(2)
    world.run(1)
    assert shown(world) == (1, 2, FaultCode.NONE)
    assert world.plc[Signal.READY]
    assert outcomes(world) == [(2, None)]
    world.check()


def test_a_part_is_of_the_recipe_and_its_product() -> None:
    world = under(2)
    world.trigger()
    world.run(0.02)
    (part,) = world.state.parts.values()
    assert (part.recipe, part.trigger.product_id) == (2, "large")


def test_a_part_of_another_product_than_the_recipe_is_held() -> None:
    world = under(3)
    world.product = "p  "
    world.trigger()
    world.run(2)
    assert len(world.captured) == 1
    world.product = "q"
    key = world.trigger()
    world.run(2)
    assert len(world.captured) == 1
    assert world.results[key][0][2] == ResultCode.HOLD
    world.check()


def test_the_acknowledgement_waits_until_every_part_before_is_decided() -> None:
    world = under(1, decide_s=(0.5, 0.6), prepare_s=(0.01, 0.02))
    key = world.trigger()
    world.run(0.1)
    world.ask(2)
    world.run(0.2)
    assert not world.plc[Signal.READY]
    assert shown(world)[:2] == (1, 1)
    assert world.state.parts[key].recipe == 1
    world.run(1)
    assert world.results[key][0][2] == ResultCode.PASS
    assert shown(world) == (2, 2, FaultCode.NONE)
    assert world.plc[Signal.READY]


def test_a_part_triggered_during_a_change_over_is_held() -> None:
    world = under(1, prepare_s=(0.5, 0.6))
    world.ask(2)
    world.run(0.1)
    key = world.trigger()
    world.run(2)
    assert world.results[key][0][2] == ResultCode.HOLD
    assert world.captured == []
    assert world.plc[Signal.MISSED_COUNT] == 1
    assert shown(world)[:2] == (2, 2)
    world.check()


def test_the_stages_are_asked_only_once_the_exposure_is_over() -> None:
    world = under(1)
    world.trigger()
    world.ask(2)
    world.run(0.013)
    world.run(1)  # the world asserts that nothing is exposed when the stages are asked
    assert shown(world)[:2] == (2, 2)


@pytest.mark.parametrize(("recipe", "code"), [(9, "UNKNOWN_RECIPE"), (2, "RECIPE_EXPERT")])
def test_what_cannot_be_had_is_refused_and_the_recipe_before_goes_on(
    recipe: int, code: str
) -> None:
    world = under(1, refused=frozenset({2}))
    world.ask(recipe)
    world.run(1)
    assert shown(world) == (2, 1, FaultCode[code])
    assert world.plc[Signal.READY]
    key = world.trigger()
    world.run(1)
    assert world.results[key][0][2] == ResultCode.PASS
    world.ask(3)
    world.run(1)
    assert shown(world) == (3, 3, FaultCode.NONE)
    assert outcomes(world) == [(1, None), (recipe, FaultCode[code]), (3, None)]


def test_a_stage_that_does_not_answer_is_given_up_in_time() -> None:
    world = under(1)
    world.prepare_s = (60.0, 61.0)
    world.ask(2)
    world.run(4.9)
    assert shown(world)[0] == 1
    world.run(0.3)
    assert shown(world) == (2, 1, FaultCode.RECIPE_TIMEOUT)
    assert world.plc[Signal.READY]
    world.run(120)
    assert shown(world)[:2] == (2, 1)


def test_the_last_of_several_requests_counts() -> None:
    world = under(1, prepare_s=(0.3, 0.4))
    world.ask(2)
    world.run(0.1)
    world.ask(3)
    world.run(2)
    assert shown(world) == (3, 3, FaultCode.NONE)
    assert outcomes(world) == [(1, None), (2, FaultCode.NONE), (3, None)]


def test_an_unknown_recipe_asked_for_during_a_change_over_ends_it() -> None:
    world = under(1, prepare_s=(0.3, 0.4))
    world.ask(2)
    world.run(0.1)
    world.ask(9)
    world.run(2)
    assert shown(world) == (3, 1, FaultCode.UNKNOWN_RECIPE)
    assert world.plc[Signal.READY]


def test_a_restarted_gateway_prepares_the_recipe_that_is_shown_before_it_is_ready() -> None:
    world = under(2)
    old = world.state
    world.cut()
    world.state = type(old)(CONFIG, plc_boot_id=1)
    world.prepare_s = (0.8, 0.9)
    world.connect()
    world.run(0.7)
    assert not world.plc[Signal.READY]
    assert shown(world)[:2] == (1, 2)
    world.run(1)
    assert world.plc[Signal.READY]
    assert shown(world)[:2] == (1, 2)


def test_a_restarted_gateway_that_cannot_have_the_recipe_tries_again_by_itself() -> None:
    world = under(2)
    world.cut()
    world.state = type(world.state)(CONFIG, plc_boot_id=1)
    world.refused = frozenset({2})
    world.connect()
    world.run(25)
    assert shown(world) == (1, 2, FaultCode.RECIPE_EXPERT)
    assert outcomes(world)[1:] == [(2, FaultCode.RECIPE_EXPERT)] * 3
    world.refused = frozenset()
    world.run(11)
    assert shown(world) == (1, 2, FaultCode.NONE)
    assert world.plc[Signal.READY]


def test_a_restarted_gateway_that_cannot_have_the_recipe_tries_again_at_the_reset() -> None:
    world = under(2)
    world.cut()
    world.state = type(world.state)(CONFIG, plc_boot_id=1)
    world.refused = frozenset({2})
    world.connect()
    world.run(2)
    assert shown(world) == (1, 2, FaultCode.RECIPE_EXPERT)
    assert not world.plc[Signal.READY]
    world.refused = frozenset()
    world.feed(hs.CounterMoved(Signal.FAULT_RESET_SEQ, 1))
    world.run(2)
    assert shown(world) == (1, 2, FaultCode.NONE)
    assert world.plc[Signal.READY]


def test_a_change_over_survives_a_cut_of_the_link() -> None:
    world = under(1, prepare_s=(0.5, 0.6))
    world.ask(2)
    world.run(0.1)
    world.cut()
    world.run(0.2)
    world.connect()
    world.run(2)
    assert shown(world) == (2, 2, FaultCode.NONE)
    assert outcomes(world)[-1] == (2, None)
    assert world.plc[Signal.READY]


def test_one_that_ended_while_the_link_was_cut_is_done_again() -> None:
    world = under(1, prepare_s=(0.1, 0.2))
    world.ask(2)
    world.run(0.05)
    world.cut()
    world.run(1)
    world.connect()
    world.run(2)
    assert shown(world) == (2, 2, FaultCode.NONE)
    assert world.plc[Signal.READY]


def test_after_a_cold_start_of_the_controller_no_recipe_is_in_force() -> None:
    world = under(2)
    world.cut()
    world.restart_plc()
    world.connect()
    world.run(2)
    assert shown(world) == (0, 0, FaultCode.NONE)
    assert not world.plc[Signal.READY]
    world.ask(1)
    world.run(2)
    assert shown(world) == (1, 1, FaultCode.NONE)
    assert world.plc[Signal.READY]


def test_a_cold_start_during_a_change_over_ends_it() -> None:
    world = under(1, prepare_s=(0.5, 0.6))
    world.ask(2)
    world.run(0.1)
    world.feed(hs.RecipeRequested(0, 0))
    world.run(2)
    assert outcomes(world)[-1] == (2, FaultCode.NONE)
    assert not world.plc[Signal.READY]
    assert world.plc[Signal.RECIPE_ACTIVE] == 0


@pytest.mark.parametrize("seed", range(40))
def test_random_change_overs_under_load(seed: int) -> None:
    """Triggers, requests and cuts at random; ``World`` checks the recipe of every open part."""
    world = under(1, seed=seed, silent=0.1, capture_fails=0.1, refused=frozenset({3}))
    rng = world.rng
    for _ in range(60):
        action = rng.random()
        if action < 0.6:
            world.trigger()
        elif action < 0.85:
            world.ask(rng.choice([1, 2, 3, 9]))
        elif action < 0.95 and world.connected:
            world.cut()
            world.run(rng.uniform(0, 1))
            world.connect()
        world.run(rng.uniform(0.02, 1.0))
    world.run(10)
    world.check()
    assert world.state.changeover is None
    assert world.plc[Signal.RECIPE_ACK_SEQ] == world.plc[Signal.RECIPE_REQ_SEQ]
    assert world.plc[Signal.READY]
    assert world.plc[Signal.RECIPE_ACTIVE] in (1, 2)
