"""When a stream's frames were exposed, whatever network and clocks do to them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cameras.freshness import StreamClock

FPS = 25


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=40),
    st.floats(-1e5, 1e5),
    st.floats(0.01, 0.2),
)
def test_a_frame_is_never_taken_for_newer_than_the_least_delayed_one_says(
    delays: list[float], offset: float, interval: float
) -> None:
    clock = StreamClock(settle_s=0)
    least, first, arrived = float("inf"), 1000 + interval, float("-inf")
    for number, delay in enumerate(delays, 1):
        exposed = 1000 + number * interval
        arrived = max(arrived, exposed + delay)  # in order
        least = min(least, arrived - exposed)
        began = clock.undelayed(exposed + offset, arrived)
        assert began is not None
        assert began <= arrived + 1e-6
        drift = 0.001 * (arrived - first)
        assert exposed + least - 1e-6 <= began <= exposed + least + drift + 1e-6


def test_nothing_is_known_until_the_first_backlog_is_over_and_after_a_clock_began_anew() -> None:
    clock = StreamClock(settle_s=1)
    assert clock.undelayed(5.0, 100.0) is None
    assert clock.undelayed(6.1, 101.1) == pytest.approx(101.1)
    assert clock.undelayed(0.5, 102.0) is None
    assert clock.undelayed(1.6, 103.1) == pytest.approx(103.1)


def played(
    clock: StreamClock,
    seconds: float,
    delay: Callable[[float], float],
    stamp: Callable[[float], float],
) -> list[tuple[float, float | None]]:
    """Each frame's exposure, and the exposure that is believed; in seconds from the beginning."""
    frames = [number / FPS for number in range(1, round(seconds * FPS))]
    believed = [(at, clock.undelayed(stamp(at), at + delay(at))) for at in frames]
    return [(at, began) for at, began in believed]


def same(at: float) -> float:
    return at


def too_new(found: list[tuple[float, float | None]]) -> list[float]:
    """By how much frames are taken for newer than they are, where it is over 100 ms."""
    return [began - at for at, began in found if began is not None and began - at > 0.1]


def test_a_backlog_that_drains_slowly_is_never_taken_for_new() -> None:
    """The camera begins 4 s back, and the network carries two frames in the time of one."""
    found = played(StreamClock(), 20, lambda at: max(4 - at / 2, 0.0), same)
    assert too_new(found) == []
    assert found[-1][1] == pytest.approx(found[-1][0], abs=0.06)


def test_a_delay_that_grows_and_stays_is_never_taken_for_the_streams_own() -> None:
    """The network is slower than the stream until 2 s wait in it, and then as fast."""
    clock = StreamClock(late_s=0.2)
    found = played(clock, 60, lambda at: min(max(at - 5, 0) / 10, 2.0), same)
    assert too_new(found) == []
    assert clock.late_for_s > 50


def test_a_clock_that_jumps_ahead_proves_nothing_for_a_while() -> None:
    """The frames before the jump wait for 3 s, and so may those behind it."""
    clock = StreamClock()
    played(clock, 5, lambda _: 0.0, same)
    jumped = played(clock, 1, lambda _: 8.0, lambda at: at + 3600)
    assert [began for _, began in jumped] == [None] * len(jumped)


@pytest.mark.parametrize("rate", [1 - 0.0005, 1 + 0.0005])
def test_clocks_that_drift_apart_are_followed(rate: float) -> None:
    clock = StreamClock(late_s=0.2)
    found = played(clock, 600, lambda _: 0.02, lambda at: rate * at)
    assert found[-1][1] == pytest.approx(found[-1][0] + 0.02, abs=0.01)
    assert clock.late_for_s == 0


def test_a_network_that_jitters_is_borne() -> None:
    clock = StreamClock(late_s=0.2)
    found = played(clock, 60, lambda at: 0.03 * (round(at * FPS) * 7919 % 997) / 996, same)
    assert None not in [began for at, began in found if at > 2.5]
    assert clock.late_for_s < 1
