"""How long ago a trigger was given, told from the server's own time stamps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.handshake.values import TriggerAge
from connectors.opcua.trigger_time import TriggerTime

SERVER = 1_000_000.0
"""The server's clock is ahead of ours by so much."""


def line(
    publishing_s: float = 0.05,
    sampling_s: float = 0.05,
    source_s: float = 0.0,
    way_s: float = 0.002,
    beats: int = 8,
) -> TriggerTime:
    """A connection of some seconds, until 10.0 by our clock; stamps are ``source_s`` off."""
    made = TriggerTime()
    made.granted(publishing_s, sampling_s)
    for number in range(beats):
        sent = 10.0 - 0.5 * (beats - 1 - number)
        made.beat(SERVER + sent - 0.03 + source_s, SERVER + sent)
        made.published(SERVER + sent, sent + way_s, without_trigger=True)
    return made


def test_a_trigger_is_as_old_as_its_time_stamp_says() -> None:
    made = line()
    made.told(7, SERVER + 10.2)
    made.published(SERVER + 10.29, 10.3, without_trigger=False)
    age = made.age(7, SERVER + 10.2, 10.31)
    assert age == pytest.approx((0.108, 0.108)), "the way of a response is not seen, 2 ms"


def test_a_response_that_was_long_on_its_way_makes_the_trigger_older() -> None:
    made = line()
    made.told(7, SERVER + 10.2)
    made.published(SERVER + 10.29, 11.3, without_trigger=False)
    assert made.age(7, SERVER + 10.2, 11.3).known_s == pytest.approx(1.098)


@pytest.mark.parametrize("source_s", [-3600.0, 3.0, 7200.0])
def test_a_source_clock_that_is_wrong_is_told_by_the_heartbeat(source_s: float) -> None:
    made = line(source_s=source_s)
    made.told(7, SERVER + 10.2 + source_s)
    age = made.age(7, SERVER + 10.2 + source_s, 10.31)
    assert age.known_s == pytest.approx(0.108 - 0.03), "but for the lag of its best heartbeat"


def test_stamps_of_samples_leave_the_sampling_interval_open() -> None:
    made = line(sampling_s=0.1)
    made.told(7, SERVER + 10.25)
    age = made.age(7, SERVER + 10.28, 10.31)
    assert age == pytest.approx((0.058, 0.158)), "the earlier of the two counts"
    one = line(sampling_s=0.1).age(8, SERVER + 10.2, 10.31)
    assert one == pytest.approx((0.108, 0.208)), "and nobody knows of what a single one is"


@pytest.mark.parametrize(
    ("made", "source"),
    [
        (line(), None),
        (line(beats=0), SERVER + 10.2),
        (line(), SERVER + 11.0),
        (line(), SERVER + 9.0),
    ],
)
def test_without_stamps_or_with_impossible_ones_the_intervals_are_allowed_for(
    made: TriggerTime, source: float | None
) -> None:
    """A trigger of 9.0 would have been in the response of 10.0, which did not have it."""
    assert made.age(7, source, 10.31) == TriggerAge(0.0, 0.1)


@given(
    st.floats(0.0, 0.6),
    st.floats(0.0, 0.2),
    st.floats(-1e5, 1e5),
    st.sampled_from([0.0, 0.01, 0.1]),
)
def test_the_window_never_begins_after_the_trigger_was_told(
    ago_s: float, way_s: float, source_s: float, sampling_s: float
) -> None:
    made = line(sampling_s=sampling_s, source_s=source_s, way_s=way_s)
    stamp = SERVER + 10.5 - ago_s + source_s
    made.told(7, stamp)
    age = made.age(7, stamp, 10.5 + way_s)
    assert 0.0 <= age.known_s <= age.at_most_s
    assert age.known_s <= max(ago_s + way_s, 0.1) + 0.06
