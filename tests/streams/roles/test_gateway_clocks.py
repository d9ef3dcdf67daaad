"""A gateway's time is told from what arrives from there, whatever this host's clock says."""

from dataclasses import dataclass, field

import pytest

from streams.kafka.delivery import Delivery
from streams.roles.clocks import SENDING_S, Ends, GatewayClocks

TRAVEL_S = 0.01
"""What a message of these tests is under way."""
EPOCH_S = 1_800_000_000.0


@dataclass
class World:
    """A gateway whose clock is right, and a worker whose clock is ahead."""

    ahead_s: float = 0.0
    elapsed_s: float = 100.0
    set_s: float = 0.0
    """By how much the gateway's clock was set."""
    offset: int = 0
    clocks: GatewayClocks = field(init=False)

    def __post_init__(self) -> None:
        self.clocks = GatewayClocks(lambda: self.elapsed_s, lambda: self.right_s + self.ahead_s)

    @property
    def right_s(self) -> float:
        return EPOCH_S + self.elapsed_s

    @property
    def gateway_s(self) -> float:
        return self.right_s + self.set_s

    def asks(self) -> None:
        self.clocks.log_ended(self.elapsed_s, self.ends())

    def ends(self) -> Ends:
        return {("frames", 0): self.offset}

    def gets(self, waits_s: float = 0.0, station: str = "a/1") -> None:
        """A message that is sent now, and waits for so long in the log."""
        sent_s, offset = self.gateway_s, self.offset
        self.offset += 1
        self.elapsed_s += TRAVEL_S + waits_s
        arrived = Delivery("frames", 0, offset, b"", b"", (), sent_s, self.elapsed_s)
        self.clocks.heard(station, sent_s, arrived)

    def error_s(self, station: str = "a/1") -> float:
        """By how much the gateway's clock is misjudged."""
        return self.clocks.at_s(station) - self.gateway_s


@pytest.mark.parametrize("ahead_s", [-3600.0, -1.0, 0.9, 1.0, 3600.0])
def test_the_first_message_that_is_known_to_be_new_tells_a_clock_that_is_off(
    ahead_s: float,
) -> None:
    world = World(ahead_s)
    world.asks()
    world.gets()
    assert world.error_s() == pytest.approx(-TRAVEL_S, abs=1e-5)
    assert world.clocks.ahead_s("a/1") == pytest.approx(ahead_s + TRAVEL_S, abs=1e-5)
    assert world.clocks.due_s("a/1", world.gateway_s + 1) == pytest.approx(
        world.elapsed_s + 1 + TRAVEL_S, abs=1e-5
    )


@pytest.mark.parametrize("ahead_s", [0.0, 0.005, -0.005])
def test_a_clock_that_nothing_speaks_against_is_believed(ahead_s: float) -> None:
    world = World(ahead_s)
    for _ in range(5):
        world.asks()
        world.gets()
    assert world.error_s() == pytest.approx(ahead_s, abs=1e-5)
    assert world.clocks.ahead_s("a/1") == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("waits_s", [5.0, 3600.0])
def test_a_backlog_is_not_a_clock_that_is_ahead(waits_s: float) -> None:
    """The messages stood in the log before its end was asked for."""
    world = World()
    world.offset = 10
    world.asks()
    world.offset = 0
    for _ in range(10):
        world.gets(waits_s)
    assert world.error_s() == pytest.approx(0, abs=1e-5)
    assert world.clocks.ahead_s("a/1") == pytest.approx(0, abs=1e-5)


def test_a_clock_that_is_ahead_stays_known_in_a_backlog() -> None:
    world = World(3600.0)
    world.asks()
    world.gets()
    for _ in range(10):
        world.gets(waits_s=5.0)
    assert world.error_s() == pytest.approx(-TRAVEL_S, abs=1e-5)


def test_a_clock_that_is_ahead_is_not_known_from_a_backlog_alone() -> None:
    world = World(3600.0)
    world.gets()
    assert world.error_s() == pytest.approx(3600, abs=1e-5)
    world.asks()
    world.gets()
    assert world.error_s() == pytest.approx(-TRAVEL_S, abs=1e-5)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_our_own_clock_may_be_set_at_any_time(step_s: float) -> None:
    world = World()
    world.asks()
    world.gets()
    world.ahead_s = step_s
    assert world.error_s() == pytest.approx(-TRAVEL_S, abs=1e-5), "before anything else arrives"
    world.ahead_s = 0.0
    assert world.error_s() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_the_gateways_clock_may_be_set_at_any_time(step_s: float) -> None:
    world = World()
    world.asks()
    world.gets()
    world.set_s = step_s
    world.asks()
    world.gets()
    assert world.error_s() == pytest.approx(-TRAVEL_S, abs=1e-5)
    world.set_s = 0.0
    world.asks()
    world.gets()
    assert world.error_s() == pytest.approx(0, abs=TRAVEL_S + SENDING_S)


def test_a_message_from_another_time_is_forgotten_with_the_next_one() -> None:
    world = World()
    world.asks()
    world.set_s = 1e9
    world.gets()
    world.set_s = 0.0
    world.asks()
    world.gets()
    assert world.error_s() == pytest.approx(0, abs=1e-5)


def test_what_is_known_of_one_gateway_says_nothing_of_another() -> None:
    world = World(3600.0)
    world.asks()
    world.gets()
    assert world.error_s("a/1") == pytest.approx(-TRAVEL_S, abs=1e-5)
    assert world.error_s("b/1") == pytest.approx(3600, abs=1e-5)


def test_bounds_grow_old_because_clocks_drift() -> None:
    world = World()
    world.asks()
    world.gets()
    for _ in range(5):
        world.elapsed_s += 250.0
        world.set_s -= 0.05
        world.gets()
    assert world.error_s() == pytest.approx(0.25, abs=1e-5)
    world.ahead_s = 3600.0
    assert 0.1 < world.error_s() < 0.2, "what was heard at first counts no more"


def test_the_memory_is_bounded() -> None:
    world = World(-1.0)
    for number in range(1100):
        world.gets(station=f"a/{number}")
    assert world.error_s("a/0") == pytest.approx(-1, abs=1e-5), "forgotten"
    assert world.error_s("a/1099") == pytest.approx(-TRAVEL_S, abs=1e-5)


def test_no_part_is_late_by_our_clock_alone() -> None:
    world = World(3600.0)
    world.gets()
    soon_s = world.gateway_s + 0.5
    assert world.clocks.is_doubted("a/1", soon_s)
    assert world.clocks.due_s("a/1", soon_s) == pytest.approx(world.elapsed_s + 0.51, abs=1e-5)
    assert not world.clocks.is_doubted("a/1", world.gateway_s - 1.0), "late by the gateway's own"
    world.asks()
    world.gets()
    assert not world.clocks.is_doubted("a/1", world.gateway_s + 0.5)
    assert not world.clocks.is_doubted("b/1", world.gateway_s + 0.5)
    assert world.clocks.earliest_s("a/1") == world.clocks.at_s("a/1")
