"""Random histories of the handshake: cuts, restarts, lost writes, silence, bursts."""

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.handshake import HandshakeConfig
from connectors.handshake.sequence import LAST, following, span, steps
from connectors.handshake.signals import Signal
from streams.codes import AckOutcome
from tests.connectors.world import World

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["trigger", "trigger", "trigger", "burst", "cut", "connect", "restart", "hush", "speak"]
        ),
        st.floats(0.0, 0.8),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), ACTIONS, st.booleans())
def test_any_history_keeps_the_guarantees(
    seed: int, actions: list[tuple[str, float]], pipelining: bool
) -> None:
    world = World(
        seed=seed,
        config=HandshakeConfig(pipelining=pipelining, result_window_ms=700),
        decide_s=(0.0, 1.0),
        silent=0.1,
        capture_fails=0.05,
    )
    world.connect()
    world.run(0.6)
    for action, pause in actions:
        _act(world, action)
        world.run(pause)
    world.acks_withheld = False
    if not world.connected:
        world.connect()
    world.acknowledge()
    world.run(5)
    world.check()
    now = [k for k in world.triggered if k.plc_boot_id == world.plc[Signal.PLC_BOOT_ID]]
    for key in now:
        reported = world.outcomes().get(key)
        assert key in world.results or reported in (
            AckOutcome.LATE,
            AckOutcome.UNACKNOWLEDGED,
        ), f"{key} was forgotten"


def _act(world: World, action: str) -> None:
    match action:
        case "trigger":
            world.trigger()
        case "burst":
            for _ in range(3):
                world.trigger()
        case "cut" if world.connected:
            world.cut()
        case "connect" if not world.connected:
            world.connect()
        case "restart":
            if world.connected:
                world.cut()
            world.restart_plc()
            world.connect()
        case "hush":
            world.acks_withheld = True
        case "speak":
            world.acks_withheld = False
            world.acknowledge()


NUMBERS = st.integers(1, LAST)


@given(NUMBERS, st.integers(0, 2**31 - 2))
def test_steps_counts_increments(start: int, count: int) -> None:
    end = (start - 1 + count) % LAST + 1
    assert steps(start, end) == count


@given(NUMBERS, st.integers(0, 50), st.integers(1, 60))
def test_span_lists_what_following_counts(start: int, count: int, limit: int) -> None:
    numbers = [start]
    for _ in range(count):
        numbers.append(following(numbers[-1]))
    assert span(start, numbers[-1], limit) == numbers[1:][-limit:]
    assert 0 not in numbers
