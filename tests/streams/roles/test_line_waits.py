"""The newest wait of each line, of lines that still send."""

from streams.roles.clocks import MOST_LINES, RECENT_S, LineWaits


def test_a_line_of_which_nothing_comes_is_no_longer_told() -> None:
    now = [0.0]
    waits = LineWaits(lambda: now[0])
    waits.heard("L1", 3.0)
    now[0] = RECENT_S
    waits.heard("L2", 0.5)
    assert waits.recent() == {("L1",): 3.0, ("L2",): 0.5}
    now[0] += 1
    assert waits.recent() == {("L2",): 0.5}


def test_names_from_outside_take_bounded_memory() -> None:
    waits = LineWaits(lambda: 0.0)
    waits.heard("first", 1.0)
    for number in range(MOST_LINES):
        waits.heard("kept", 1.0)
        waits.heard(f"L{number}", 1.0)
    told = waits.recent()
    assert len(told) == MOST_LINES
    assert ("kept",) in told
    assert ("first",) not in told
