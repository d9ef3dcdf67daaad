"""The state of the lines: what counts, what is shown, and that a log may be read again."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from console.feed import line_state
from console.feed.line_state import LineState
from console.feed.positions import is_beyond, read_positions, write_positions
from history.plant_times import PlantTimes
from streams.codes import AckOutcome, Action, DecisionSource
from streams.events import Acknowledgement, Alert, Decision, GoldenCheck
from streams.topics import ACKS, ALERTS, DECISIONS
from tests.history import make

PLANT = PlantTimes.model_validate(
    {
        "time_zone": "Europe/Berlin",
        "shifts": {
            "early": {"start": "06:00", "end": "14:00"},
            "late": {"start": "14:00", "end": "22:00"},
        },
    }
)


class Log:
    """A state, and what a partition of each topic holds."""

    def __init__(self) -> None:
        self.state = LineState(PLANT.shift_at)
        self.events: list[tuple[object, tuple[tuple[str, int], int]]] = []
        self.ends = {DECISIONS.name: 0, ACKS.name: 0, ALERTS.name: 0}

    def add(self, event: Decision | Acknowledgement | Alert) -> None:
        topics = {Decision: DECISIONS, Acknowledgement: ACKS, Alert: ALERTS}
        topic = topics[type(event)].name
        record = ((topic, 0), self.ends[topic])
        self.ends[topic] += 1
        self.events.append((event, record))
        self.state.take(event, record)

    def counters(self) -> dict[str, int]:
        return dict(+self.state.lines["line-1"].actions)


def scrapped(number: int, **change: object) -> Decision:
    return make.decision(number, DecisionSource.CLASSIFIER, Action.SCRAP, "crack", **change)


def told(
    number: int, decision: Decision, outcome: AckOutcome = AckOutcome.ACKNOWLEDGED
) -> Acknowledgement:
    return Acknowledgement(
        **make.part(number),
        result_id=decision.result_id,
        source=decision.source,
        action=decision.action,
        outcome=outcome,
        trigger_to_write_ms=400.0,
    )


def test_parts_count_once_by_what_the_plc_was_told() -> None:
    log = Log()
    late = scrapped(1, is_late=True)
    watchdog = make.decision(1, DecisionSource.WATCHDOG, Action.HOLD)
    for event in (make.decision(0), late, watchdog, make.decision(0)):
        log.add(event)
    assert log.counters() == {"pass": 1, "hold": 1}
    log.add(told(1, late))
    assert log.counters() == {"pass": 1, "scrap": 1}
    line = log.state.lines["line-1"]
    assert [p.decision.action.value for p in line.newest(9) if p.decision] == ["scrap", "pass"]
    assert line.newest(1)[0].headroom_ms == 600.0
    assert (line.total, line.passed_share, line.missed) == (2, 0.5, 0)
    log.add(told(0, make.decision(0), AckOutcome.UNACKNOWLEDGED))
    assert line.missed == 1


@pytest.mark.parametrize(
    ("answers", "effective"),
    make.EFFECTIVE,
)
def test_the_effective_decision_is_the_histories_in_any_order(
    answers: list[tuple[DecisionSource, bool, str | None]], effective: DecisionSource
) -> None:
    actions = dict(zip(DecisionSource, Action, strict=False))
    events: list[Decision | Acknowledgement] = []
    for source, is_late, outcome in answers:
        one = make.decided(1, source, is_late).model_copy(update={"action": actions[source]})
        events.append(one)
        if outcome is not None:
            events.append(make.answered(one, outcome))
    for order in itertools.permutations(events):
        log = Log()
        for event in order:
            log.add(event)
        (part,) = log.state.lines["line-1"].newest(9)
        assert part.decision is not None
        assert part.decision.source is effective
        assert log.counters() == {actions[effective].value: 1}
        given = any(outcome == "acknowledged" for _, _, outcome in answers)
        heard = any(outcome is not None for _, _, outcome in answers)
        assert log.state.lines["line-1"].missed == (heard and not given)


def test_what_the_controller_took_late_is_said_to_be_late_whatever_came_after_it() -> None:
    log = Log()
    hold, other = make.decision(1, DecisionSource.WATCHDOG, Action.HOLD), scrapped(1)
    at = {"written_at": hold.decided_at}
    written = told(1, hold, AckOutcome.LATE).model_copy(update=at)
    unwritten = told(1, other, AckOutcome.LATE)
    for event in (hold, written, unwritten):
        log.add(event)
    (part,) = log.state.lines["line-1"].newest(9)
    assert part.acknowledgement == written
    assert log.state.lines["line-1"].missed == 1


def test_an_answer_before_its_decision_waits_for_it() -> None:
    log = Log()
    log.add(told(1, scrapped(1)))
    assert log.state.line_names() == []
    log.add(scrapped(1))
    assert log.state.line_names() == ["line-1"]
    assert log.counters() == {"scrap": 1}


def test_known_parts_are_shown_and_do_not_count() -> None:
    log = Log()
    log.add(scrapped(1, golden=GoldenCheck(actions=(Action.SCRAP,), is_right=True)))
    assert log.counters() == {}
    assert len(log.state.lines["line-1"].newest(5)) == 1


def test_a_shift_begins_anew_and_a_straggler_of_the_last_does_not_count() -> None:
    log = Log()
    noon = datetime(2026, 11, 1, 12, 59, 59, tzinfo=UTC)  # 13:59:59 in Berlin
    log.add(scrapped(1, captured_at=noon))
    assert log.state.lines["line-1"].shift == "early"
    log.add(make.decision(2, captured_at=noon + timedelta(seconds=2)))
    assert (log.state.lines["line-1"].shift, log.counters()) == ("late", {"pass": 1})
    log.add(scrapped(3, captured_at=noon))
    assert log.counters() == {"pass": 1}


def test_a_line_that_stands_still_begins_the_next_shift_with_nothing_made() -> None:
    log = Log()
    noon = datetime(2026, 11, 1, 12, 59, 59, tzinfo=UTC)  # 13:59:59 in Berlin
    log.add(scrapped(1, captured_at=noon))
    line, change = log.state.lines["line-1"], log.state.changes
    log.state.begin_shifts(noon)
    assert (line.shift, line.total, log.state.changes) == ("early", 1, change)
    log.state.begin_shifts(noon + timedelta(seconds=2))
    assert (line.shift, line.total, line.missed) == ("late", 0, 0)
    assert [(one.name, fresh) for one, fresh in log.state.changed_since(change)] == [("line-1", [])]
    log.state.begin_shifts(noon - timedelta(hours=1))
    assert line.shift == "late", "a clock that is behind ends no shift"


def test_a_log_that_is_read_again_changes_nothing() -> None:
    log = Log()
    for n in range(5):
        log.add(make.decision(n))
        log.add(told(n, make.decision(n)))
    before = log.counters(), log.state.changes
    for event, record in log.events:
        log.state.take(event, record)  # type: ignore[arg-type]
    assert (log.counters(), log.state.changes) == before


def test_memory_is_bounded() -> None:
    log = Log()
    for n in range(line_state.PARTS + 20):
        log.add(make.decision(n))
    assert len(log.state.lines["line-1"].parts) == line_state.PARTS
    assert log.counters() == {"pass": line_state.PARTS + 20}
    with capture_logs() as said:
        for n in range(line_state.LINES + 5):
            log.add(make.decision(n, line=f"line {n}"))
    assert len(log.state.lines) == line_state.LINES
    (warned,) = [row for row in said if row["event"] == "console.line_not_shown"]
    assert warned["line"] not in log.state.lines


def test_changes_are_counted_from_a_change_on() -> None:
    log = Log()
    for n in range(4):
        log.add(make.decision(n))
    change = log.state.changes
    assert list(log.state.changed_since(change)) == []
    log.add(told(0, make.decision(0)))
    ((_, changed),) = log.state.changed_since(change)
    assert [p.decision.trigger_seq for p in changed if p.decision] == [1]


def test_a_serial_is_found_among_the_last_parts() -> None:
    log = Log()
    log.add(make.decision(3))
    assert [p.identity for p in log.state.find("P0000003")] == [make.frame_id(3)]
    assert log.state.find("P9") == []


def test_positions_are_a_word_for_a_browser() -> None:
    positions = {(DECISIONS.name, 3): 9, (ACKS.name, 0): 1}
    assert read_positions(write_positions(positions)) == positions
    for word in ("", "d0", "d0-x", "d0-1.d", "<b>", "d" * 5000):
        assert read_positions(word) == {}
    assert is_beyond({(ACKS.name, 0): 2}, positions)
    assert not is_beyond({(ACKS.name, 0): 1}, positions)
    assert is_beyond({(ALERTS.name, 0): 1}, positions)
