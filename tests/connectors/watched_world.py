"""A world whose every step somebody sees, as the gateway's watchers see the handshake's."""

from collections.abc import Callable

from connectors.handshake import HandshakeConfig, State, step
from connectors.handshake import values as hs
from tests.connectors.world import World

Saw = Callable[[State, State, list[hs.Command]], None]
"""Is given the state before a step, the state after it, and what it commands."""


def watched_world(saw: Saw, seed: int = 4, silent: float = 0.0) -> World:
    """A connected world with a window of 0.8 s; ``silent`` of its parts get no decision."""
    world = World(seed=seed, config=HandshakeConfig(result_window_ms=800), silent=silent)
    feed = world.feed

    def watched(event: hs.Input) -> None:
        before = world.state
        _, commands = step(before, world.now, event)
        feed(event)
        saw(before, world.state, commands)

    world.feed = watched  # type: ignore[method-assign]
    world.connect()
    return world


def played_world(saw: Saw, silent: float = 0.0) -> World:
    """The same after twenty parts, a second each."""
    world = watched_world(saw, silent=silent)
    world.run(1)
    for _ in range(20):
        world.trigger()
        world.run(1)
    return world
