"""The join role and its core: one decision a part, whatever is lost, late, doubled or crashes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codes import Action, DecisionSource, ReasonCode, Severity, Stage
from streams.envelope import from_message, to_message
from streams.events import Decision, ShotVerdict
from streams.ids import new_frame_id
from streams.kafka.delivery import Delivery
from streams.kafka.intake import InOrderAcks
from streams.roles.config import JoinConfig
from streams.roles.decisions import Moment
from streams.roles.join import JoinRole
from streams.roles.join_core import CompletePart, JoinState, Judged, Tick, joined, joined_id, step
from streams.topics import DEAD, DECISIONS, SHOTS
from tests.contracts.twins.policies import TwinPolicies, TwinPolicy
from tests.streams import made
from tests.streams.conftest import Bench
from tests.waiting import until

MakeBench = Callable[..., Bench]
CONFIG = JoinConfig()
START_S = 1_800_000_000.0
WINDOW_S = 1.0
DUE_S = WINDOW_S - CONFIG.margin_s
PARTS = [new_frame_id() for _ in range(6)]


def verdict(part: int, shot: int, expected: int = 3, at_s: float = 0.0) -> ShotVerdict:
    """A verdict on a shot of a part that was triggered at ``at_s`` seconds after the start."""
    triggered = datetime.fromtimestamp(START_S + at_s, tz=UTC)
    return made.verdict(
        shot,
        expected,
        part_frame_id=PARTS[part],
        part_id=f"P-{part}",
        captured_at=triggered,
        decided_at=triggered,
        deadline=triggered + timedelta(seconds=WINDOW_S),
    )


@dataclass
class Joiner:
    """The core on its own, at moments that a test names in seconds after the start."""

    config: JoinConfig = CONFIG
    state: JoinState = field(default_factory=JoinState)
    decided: list[tuple[float, CompletePart]] = field(default_factory=list)

    def take(self, one: ShotVerdict, at_s: float) -> "Joiner":
        self.wait(at_s)
        return self._step(Judged(one, START_S + at_s, one.deadline.timestamp()), at_s)

    def wait(self, until_s: float) -> "Joiner":
        """Tick whenever a tick is due, as the role's timer does."""
        while (due_s := self.state.next_due_s) is not None and due_s <= START_S + until_s:
            self._step(Tick(due_s), due_s - START_S)
        return self

    def _step(self, event: Judged | Tick, at_s: float) -> "Joiner":
        self.state, complete = step(self.state, event, self.config)
        self.decided += [(at_s, part) for part in complete]
        return self

    def shots(self) -> list[list[int]]:
        """For each decided part the shots that were there."""
        return [[v.shot for v in part.shots if v is not None] for _, part in self.decided]


def test_the_last_shot_decides_the_part_at_once() -> None:
    joiner = Joiner()
    for shot in (2, 1, 3):
        assert not joiner.decided
        joiner.take(verdict(0, shot), 0.1 * shot)
    ((at_s, complete),) = joiner.decided
    assert (at_s, complete.part) == (pytest.approx(0.3), PARTS[0])
    assert [v.shot for v in complete.shots if v is not None] == [1, 2, 3]
    assert not joiner.state.open


def test_a_missing_shot_is_waited_for_and_no_longer() -> None:
    joiner = Joiner().take(verdict(0, 1), 0.1).take(verdict(0, 3), 0.2).wait(DUE_S - 0.001)
    assert not joiner.decided
    joiner.wait(DUE_S)
    assert joiner.shots() == [[1, 3]]
    assert joiner.decided[0][1].shots[1] is None


def test_a_doubled_shot_counts_once_and_the_first_one() -> None:
    first, second = verdict(0, 1), verdict(0, 1)
    joiner = Joiner().take(first, 0.1).take(second, 0.1).take(verdict(0, 2), 0.2)
    assert not joiner.decided
    joiner.take(verdict(0, 3), 0.2)
    assert joiner.decided[0][1].shots[0] is first


def test_what_comes_after_the_decision_changes_nothing() -> None:
    joiner = Joiner().take(verdict(0, 1), 0.1).wait(DUE_S)
    joiner.take(verdict(0, 2), 0.95).take(verdict(0, 3), 60.0).wait(90.0)
    assert joiner.shots() == [[1]]


def test_a_first_verdict_behind_time_still_lets_the_others_in() -> None:
    joiner = Joiner().take(verdict(0, 1), 0.92).take(verdict(0, 2), 0.925).wait(0.95)
    assert joiner.shots() == [[1, 2]]
    assert joiner.decided[0][0] < 0.95  # before the watchdog of the gateway


def test_a_backlog_after_an_outage_is_joined_whole() -> None:
    joiner = Joiner()
    for shot in (1, 2, 3):
        joiner.take(verdict(0, shot), 50.0 + 0.1 * shot)
    assert joiner.shots() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("window_ms", "due_s"), [(1000, 0.1 + DUE_S), (0xFFFFFFFF, 3600.1 - CONFIG.margin_s)]
)
def test_a_deadline_of_another_century_is_waited_for_no_longer_than_a_window(
    window_ms: int, due_s: float
) -> None:
    """Its verdict is not acknowledged meanwhile, and with it nothing behind it in the partition."""
    far = {"deadline": datetime(2190, 1, 1, tzinfo=UTC), "result_window_ms": window_ms}
    joiner = Joiner().take(verdict(0, 1).model_copy(update=far), 0.1).wait(due_s - 0.01)
    assert not joiner.decided
    assert joiner.wait(due_s + 0.01).shots() == [[1]]


def test_memory_is_bounded() -> None:
    joiner = Joiner(JoinConfig(remembered_parts=2))
    for number in range(5):
        joiner.take(verdict(number, 1, expected=1), 0.1 * number)
    assert list(joiner.state.decided) == PARTS[3:5]
    joiner.take(verdict(5, 1, expected=1), 0.5 + CONFIG.remember_s)
    assert list(joiner.state.decided) == PARTS[5:6]


Arrival = tuple[float, int, int]
"""After how many seconds a shot of a part arrives."""
ARRIVALS = st.lists(
    st.tuples(st.floats(0.0, 3.0), st.integers(0, 5), st.integers(1, 3)), max_size=40
).map(sorted)


@settings(max_examples=200, deadline=None)
@given(ARRIVALS)
def test_every_part_is_decided_once_in_time_by_what_had_come(arrivals: list[Arrival]) -> None:
    joiner = Joiner()
    for at_s, part, shot in arrivals:
        joiner.take(verdict(part, shot, at_s=0.2 * part), at_s)
    joiner.wait(20.0)
    assert sorted(p.part for _, p in joiner.decided) == sorted({PARTS[a[1]] for a in arrivals})
    for decided_s, complete in joiner.decided:
        number = PARTS.index(complete.part)
        end_s = 0.2 * number + WINDOW_S
        mine = [(at_s, shot) for at_s, part, shot in arrivals if part == number]
        surely = {shot for at_s, shot in mine if at_s < decided_s - 1e-5}
        there = {shot for at_s, shot in mine if at_s <= decided_s + 1e-5}  # or at that moment
        assert surely <= {v.shot for v in complete.shots if v is not None} <= there
        if there != {1, 2, 3}:  # something is missing: as late as may be, and no later
            first_s = mine[0][0]
            window_s = min(end_s, first_s + WINDOW_S)  # some arrive before their trigger
            assert decided_s >= window_s - CONFIG.margin_s - 1e-6
            assert decided_s <= max(end_s, first_s + CONFIG.backlog_wait_s) + 1e-6
            if first_s < end_s - CONFIG.margin_s:
                assert decided_s < end_s


@settings(max_examples=200, deadline=None)
@given(ARRIVALS, st.lists(st.integers(0, 40), max_size=3).map(sorted))
def test_a_crash_loses_no_part(arrivals: list[Arrival], crashes: list[int]) -> None:
    """The topic is the memory: what was not acknowledged is delivered again."""
    log = [verdict(part, shot, at_s=0.2 * part) for _, part, shot in arrivals]
    sent: set[UUID] = set()
    committed = 0
    for stop in [*crashes, len(log)]:
        joiner, acks, held = Joiner(), InOrderAcks[int](), dict[UUID, list[int]]()
        offset = committed
        for offset in range(committed, min(stop, len(log))):
            one, at_s = log[offset], arrivals[offset][0]
            acks.track("partition", 1, offset, offset)
            held.setdefault(one.part_identity, []).append(offset)
            joiner.take(one, at_s)
            committed = _acknowledge(joiner, acks, held, sent, committed)
        if stop == len(log):
            joiner.wait(20.0)
            committed = _acknowledge(joiner, acks, held, sent, committed)
    assert committed == len(log)
    assert sent == {one.part_identity for one in log}


def _acknowledge(
    joiner: Joiner,
    acks: InOrderAcks[int],
    held: dict[UUID, list[int]],
    sent: set[UUID],
    committed: int,
) -> int:
    """Send what was decided, then acknowledge the verdicts of these parts, as the role does."""
    sent.update(complete.part for _, complete in joiner.decided)
    joiner.decided.clear()
    for part in [p for p in held if p in joiner.state.decided]:
        for offset in held.pop(part):
            for acknowledged in acks.done("partition", 1, offset):
                committed = acknowledged + 1
    return committed


def test_a_joined_decision_is_the_parts_own() -> None:
    odd = made.verdict(
        2,
        part_frame_id=PARTS[0],
        action=Action.SCRAP,
        severity=Severity.DEFECT,
        source=DecisionSource.CLASSIFIER,
        rule="class:crack",
    )
    shots = [made.verdict(1, part_frame_id=PARTS[0]), odd, None]
    found = joined(shots, TwinPolicy("tile"), Moment())
    assert type(found) is Decision
    assert found.frame_id == found.part_frame_id == PARTS[0]
    assert found.result_id == joined_id(PARTS[0])
    assert (found.action, found.source, found.class_name) == ("scrap", "classifier", "crack")
    assert (found.shot, found.shots_expected, found.is_late) == (1, 3, False)
    assert found.inspection == odd.inspection
    assert [s.frame_id for s in found.shots] == [shots[0].frame_id, odd.frame_id, None]
    assert [s.name for s in found.shots] == ["side1", "side2", ""]
    assert [s.action for s in found.shots] == ["pass", "scrap", "hold"]
    assert from_message(Decision, to_message(found).value, to_message(found).headers) == found


def test_a_golden_part_of_several_shots_is_checked_once_as_a_whole() -> None:
    shots = [made.verdict(n, part_frame_id=PARTS[0], part_id="golden") for n in (1, 2)]
    found = joined([*shots, None], TwinPolicy("tile"), Moment())
    assert found.golden is not None
    assert not found.golden.is_right
    assert all(shot.golden is None for shot in shots)


def test_a_policy_that_breaks_down_holds_the_part() -> None:
    class Broken(TwinPolicy):
        def combine(self, shots: object) -> object:  # type: ignore[override]
            raise ZeroDivisionError

    found = joined([made.verdict(1), None], Broken("tile"), Moment())
    assert (found.action, found.reason_code) == (Action.HOLD, ReasonCode.NO_DECISION)


@dataclass
class Line:
    """The role over twins."""

    bench: Bench
    role: JoinRole
    offset: int = 0

    def deliver(self, one: ShotVerdict, generation: int = 1) -> "asyncio.Task[None]":
        message = to_message(one)
        self.offset += 1
        delivery = Delivery(
            SHOTS.name,
            0,
            self.offset,
            message.key,
            message.value,
            message.headers,
            generation=generation,
        )
        return asyncio.create_task(self.role.handle(delivery))

    def decisions(self) -> list[Decision]:
        found = [event for event, _ in self.bench.publisher.of(DECISIONS.name)]
        assert all(type(event) is Decision for event in found)
        return [event for event in found if isinstance(event, Decision)]


@pytest.fixture
def line(bench: MakeBench) -> Line:
    made_bench = bench(Stage.JOIN)
    return Line(made_bench, JoinRole(TwinPolicies(), made_bench.results, CONFIG))


async def settled(*tasks: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks)


@pytest.mark.asyncio
async def test_verdicts_are_acknowledged_once_the_decision_is_at_the_broker(line: Line) -> None:
    line.bench.publisher.down = True
    part = new_frame_id()
    shots = [made.verdict(n, **made.roomy(part)) for n in (1, 2, 3)]  # type: ignore[arg-type]
    tasks = [line.deliver(one) for one in shots[:2]]
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    tasks.append(line.deliver(shots[2]))
    await until(lambda: "away" in line.bench.logged, 20)
    assert not any(task.done() for task in tasks)
    line.bench.publisher.down = False
    await settled(*tasks)
    (found,) = line.decisions()
    assert (found.frame_id, found.action) == (part, Action.PASS)
    await settled(line.deliver(shots[2]))
    assert len(line.decisions()) == 1


@pytest.mark.asyncio
async def test_the_timer_decides_without_the_missing_shot(line: Line) -> None:
    part = new_frame_id()
    soon = datetime.now(UTC) + timedelta(seconds=CONFIG.margin_s + 0.05)
    await settled(line.deliver(made.verdict(2, part_frame_id=part, deadline=soon)))
    (found,) = line.decisions()
    assert (found.action, found.is_late) == (Action.HOLD, False)
    assert [s.frame_id is None for s in found.shots] == [True, False, True]


@pytest.mark.asyncio
async def test_a_new_generation_begins_from_the_topic(line: Line) -> None:
    fields = made.roomy(new_frame_id())
    before = line.deliver(made.verdict(1, **fields))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    after = [line.deliver(made.verdict(n, **fields), 2) for n in (1, 2)]  # type: ignore[arg-type]
    await settled(before)  # its acknowledgement is void: it was delivered again
    assert not line.decisions()
    after.append(line.deliver(made.verdict(3, **fields), 2))  # type: ignore[arg-type]
    await settled(*after)
    assert len(line.decisions()) == 1


@pytest.mark.asyncio
async def test_a_shot_that_cannot_be_is_a_dead_letter(line: Line) -> None:
    wrong = made.verdict(4, expected=3)
    await settled(line.deliver(wrong))
    assert len(line.bench.publisher.of(DEAD.name)) == 1
    assert not line.decisions()
    await line.role.close()
