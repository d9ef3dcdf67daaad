"""A schedule is what its seed says, and has every fault that was asked for."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lab.harness.schedule import KILL, PAUSE, schedule

VICTIMS = ["gateway", "inspect", "record"]


@given(st.integers(0, 2**31), st.integers(20, 10_000), st.integers(0, 20), st.integers(0, 5))
def test_each_victim_has_its_faults_within_the_run(
    seed: int, parts: int, kills: int, pauses: int
) -> None:
    found = schedule(seed, parts, VICTIMS, kills, pauses)
    expected = {(KILL, v): kills for v in VICTIMS} | {(PAUSE, v): pauses for v in VICTIMS}
    assert Counter((f.kind, f.victim) for f in found) == Counter(expected)
    places = [f.at_part for f in found]
    assert places == sorted(places)
    assert all(1 <= place < parts for place in places)
    assert all(f.seconds >= 0 for f in found)
    assert found == schedule(seed, parts, VICTIMS, kills, pauses)


def test_another_seed_is_another_schedule() -> None:
    assert schedule(1, 500, VICTIMS, 4, 2) != schedule(2, 500, VICTIMS, 4, 2)
    assert "gateway" in str(schedule(1, 500, ["gateway"], 1)[0])
