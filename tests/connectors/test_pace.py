"""The window follows the link: its speed times its round trip, twice over, and three messages."""

import math

import pytest

from connectors.gateway.pace import Pace

FIRST = 1 << 20


class Clock:
    """Monotonic time by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def paced(clock: Clock, trip_s: float) -> Pace:
    return Pace(lambda: trip_s, clock)


def test_before_anything_arrived_a_first_window_and_no_time(clock: Clock) -> None:
    pace = paced(clock, 1.0)
    assert pace.window_bytes == FIRST
    assert pace.bytes_s == 0
    assert pace.time_for(1) == math.inf


def test_the_speed_is_what_arrived_while_a_message_was_under_way(clock: Clock) -> None:
    pace = paced(clock, 0.5)
    first, second = pace.begin(100), pace.begin(300)
    clock.at = 1.0
    pace.arrived(first)
    assert pace.bytes_s == 100
    clock.at = 2.0
    pace.arrived(second)
    assert pace.bytes_s == 200
    assert pace.window_bytes == 2 * 200 * 0.5 + 3 * 300
    assert pace.time_for(400) == 0.5 + 2.0


def test_an_older_speed_is_forgotten_and_the_last_one_never(clock: Clock) -> None:
    pace = paced(clock, 2.0)
    for took_s in (1.0, 10.0):
        flight = pace.begin(100)
        clock.at += took_s
        pace.arrived(flight)
    assert pace.bytes_s == 100
    clock.at = 21.5  # ten round trips after the first of them
    assert pace.bytes_s == 10
    clock.at = 1000.0
    assert pace.bytes_s == 10


def test_a_large_message_is_forgotten_by_halves(clock: Clock) -> None:
    pace = paced(clock, 1e-9)
    windows = []
    for size in (1000, 100, 100, 100, 100):
        flight = pace.begin(size)
        clock.at += 1.0
        pace.arrived(flight)
        windows.append(round(pace.window_bytes))
    assert windows == [3000, 1500, 750, 375, 300]


def test_where_nobody_knows_the_round_trip_the_quickest_message_tells(clock: Clock) -> None:
    pace = paced(clock, 0.0)
    assert pace.trip_s == 0
    for took_s in (3.0, 2.0, 5.0):
        flight = pace.begin(10)
        clock.at += took_s
        pace.arrived(flight)
    assert pace.trip_s == 2.0


@pytest.mark.parametrize("speed", [1e5, 1e6, 1e7])
def test_the_window_grows_until_the_link_is_full(clock: Clock, speed: float) -> None:
    """A link of 4 s that carries so much: within ten rounds the window holds it."""
    pace = paced(clock, 4.0)
    for _ in range(10):
        flights = [pace.begin(50_000) for _ in range(round(pace.window_bytes / 50_000))]
        free_at = began = clock.at
        for flight in flights:
            free_at += flight.size / speed
            clock.at = max(free_at, began + 4.0) if free_at < began + 4.0 else free_at
            pace.arrived(flight)
    assert pace.window_bytes > speed * 4.0
    assert pace.window_bytes < 3 * speed * 4.0 + 3 * 50_000
