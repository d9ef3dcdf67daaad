"""The limits role over twins: each part once, alerts before the changelog, nothing lost."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codes import Action, DecisionSource
from streams.envelope import from_message, to_message
from streams.events import Alert, CountedPart, Decision
from streams.kafka.delivery import Delivery
from streams.roles.config import LimitsConfig
from streams.roles.limits import LimitsRole
from streams.roles.limits_core import (
    PartMemory,
    count,
    entry_message,
    part_message,
    restored,
)
from streams.topics import ALERTS, COUNTED, DEAD, DECISIONS, PARTS
from tests.contracts.twins.changelog import TwinChangelog
from tests.contracts.twins.policies import TwinPolicies
from tests.streams.conftest import Bench
from tests.streams.roles.limits_policy import decision, one_policy
from tests.streams.roles.limits_policy import parts as made

MakeBench = Callable[..., Bench]
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def parts(pattern: str) -> list[Decision]:
    """``x`` a scrapped part, ``.`` one that passed; all decided ``NOW``."""
    return made(pattern, decided_at=NOW)


@dataclass
class Counting:
    """The core, with a changelog that can be read again at any moment."""

    config: LimitsConfig = field(default_factory=lambda: LimitsConfig(remembered_parts=32))
    policies: TwinPolicies = field(default_factory=one_policy)
    memory: PartMemory = field(default_factory=lambda: PartMemory(32))
    slots: dict[int, CountedPart] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)

    def take(self, decisions: Iterable[Decision], now: datetime = NOW) -> "Counting":
        for one in decisions:
            policy = self.policies.for_product(one.product_id)
            step = count(self.memory, one, policy, self.config, now)
            self.alerts += step.alerts
            if step.entry is not None:
                self.slots[step.slot] = step.entry
        return self

    def restart(self) -> "Counting":
        found = restored(self.slots.values(), self.config.remembered_parts)
        self.memory = found.get(("line-1", "tile"), PartMemory(32))
        return self


def test_an_alert_at_the_crossing_and_not_again_while_it_lasts() -> None:
    shots = parts("x..x.x.x.xx")
    counting = Counting().take(shots)
    (alert,) = counting.alerts
    assert (alert.line, alert.product_id, alert.limit) == ("line-1", "tile", "many")
    assert (alert.count, alert.window_parts, alert.request_stop) == (4, 20, True)
    assert alert.policy_hash == one_policy().for_product("tile").policy_hash
    again = Counting().take(shots)
    assert [a.alert_id for a in again.alerts] == [alert.alert_id]
    counting.take(parts("." * 25)).take(parts("xxxx"))
    assert len({a.alert_id for a in counting.alerts}) == 2


@settings(max_examples=60, deadline=None)
@given(
    pattern=st.text("x.", min_size=1, max_size=60),
    back=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 31)), max_size=12),
    restarts=st.sets(st.integers(0, 60), max_size=6),
)
def test_redelivery_and_restarts_change_nothing(
    pattern: str, back: list[tuple[int, int]], restarts: set[int]
) -> None:
    """Any stretch of the last parts delivered again, the memory read back at any moment."""
    shots = parts(pattern)
    plain, disturbed = Counting().take(shots), Counting()
    for number, shot in enumerate(shots):
        disturbed.take([shot])
        if number in restarts:
            disturbed.restart()
        for at, distance in back:
            if at == number:
                disturbed.take(shots[max(0, number + 1 - distance) : number + 1])
    assert disturbed.alerts == plain.alerts
    assert disturbed.memory.last(32) == plain.memory.last(32)
    assert disturbed.memory.number == len(shots)
    assert len(disturbed.slots) == min(len(shots), 32), "bounded"


def test_late_answers_and_products_without_a_policy_do_not_count() -> None:
    counting = Counting().take(decision(is_late=True) for _ in range(5))
    counting.take(decision(product_id="other") for _ in range(5))
    assert (counting.memory.number, counting.alerts, counting.slots) == (0, [], {})


def test_what_the_watchdog_wrote_counts_for_the_part() -> None:
    passed = decision(Action.PASS)
    identity = passed.frame_id
    held = decision(Action.SCRAP, frame_id=identity, source=DecisionSource.WATCHDOG)
    counting = Counting().take([*parts("xx"), passed, held, passed])
    assert [p.action for p in counting.memory.last(1)] == [Action.SCRAP]
    assert counting.memory.number == 3
    counting.restart().take(parts("."))
    assert counting.alerts == []
    assert len(counting.take(parts("x")).alerts) == 1


def test_a_limit_put_in_force_sees_the_parts_before_it() -> None:
    counting = Counting(policies=one_policy({})).take(parts("xxxx"))
    assert (counting.alerts, counting.memory.number) == ([], 4)
    counting.policies = one_policy()
    assert len(counting.restart().take(parts(".")).alerts) == 1


def test_a_longer_window_is_remembered_whole() -> None:
    counting = Counting()
    counting.policies.limits = {"long": {"more_than": 30, "in_parts": 100}}
    counting.take(parts("x" * 30 + "." * 60)).restart()
    assert len(counting.take(parts("x")).alerts) == 1


def test_an_old_alert_asks_for_no_stop() -> None:
    fresh, old = parts("xxxx"), parts("xxxx")
    (alert,) = Counting().take(fresh, NOW + timedelta(seconds=60)).alerts
    assert alert.request_stop
    (alert,) = Counting().take(old, NOW + timedelta(hours=2)).alerts
    assert not alert.request_stop
    assert alert.reason.endswith("noticed 7200 s later: no stop requested")


def test_a_part_travels_without_region_and_timings_by_line_and_product() -> None:
    one = decision(station="cam-7")
    message = part_message(one)
    assert message.key == b"line-1/tile"
    slim = from_message(Decision, message.value, message.headers)
    assert (slim.frame_id, slim.action) == (one.frame_id, one.action)
    assert slim.inspection is not None
    assert (slim.inspection.p_value, slim.inspection.region) == (0.001, None)


def role_on(b: Bench) -> tuple[LimitsRole, TwinChangelog]:
    changelog = TwinChangelog(b.publisher)
    config = LimitsConfig(stop_within_s=float("inf"))
    return LimitsRole(one_policy(), changelog, b.results, config), changelog


def delivered(
    decisions: Sequence[Decision], partition: int = 0, generation: int = 1
) -> list[Delivery]:
    """The parts as ``andon.parts`` delivers them."""
    messages = [part_message(one) for one in decisions]
    return [
        Delivery(PARTS.name, partition, n, m.key, m.value, m.headers, generation=generation)
        for n, m in enumerate(messages)
    ]


@pytest.mark.asyncio
async def test_decisions_are_sent_on_and_late_ones_are_not(bench: MakeBench) -> None:
    b = bench()
    role, _ = role_on(b)
    for one in (decision(), decision(is_late=True)):
        message = to_message(one)
        await role.handle(Delivery(DECISIONS.name, 3, 0, message.key, message.value, ()))
    ((topic, sent),) = b.publisher.sent
    assert (topic, sent.key) == (PARTS.name, b"line-1/tile")


@pytest.mark.asyncio
async def test_a_new_generation_goes_on_from_the_changelog(bench: MakeBench) -> None:
    """Killed or rebalanced after every part, with everything uncommitted delivered again."""
    b = bench()
    shots = parts("x.xx.xx")
    for upto in range(1, len(shots) + 1):
        role, changelog = role_on(b)
        for one in delivered(shots[:upto], partition=2):
            await role.handle(one)
        for one in delivered(shots[:upto], partition=2, generation=2):
            await role.handle(one)
        assert changelog.reads == [2, 2]
    assert len(b.publisher.of(ALERTS.name)) == 1
    entries = [e for e, _ in b.publisher.of(COUNTED.name) if isinstance(e, CountedPart)]
    assert [e.number for e in entries] == list(range(1, len(shots) + 1))
    assert {m.partition for t, m in b.publisher.sent if t == COUNTED.name} == {2}


@pytest.mark.asyncio
async def test_the_alert_is_at_the_broker_before_any_changelog_says_so(bench: MakeBench) -> None:
    """Many at once, and a broker that refuses now and then."""
    b = bench()
    role, _ = role_on(b)
    b.publisher.down_for = 3
    await asyncio.gather(*(role.handle(one) for one in delivered(parts("xxxxxxx"))))
    order = [topic for topic, _ in b.publisher.sent]
    exceeded = [
        position
        for position, (topic, message) in enumerate(b.publisher.sent)
        if topic == COUNTED.name
        and from_message(CountedPart, message.value, message.headers).exceeded
    ]
    assert order.count(ALERTS.name) == 1
    assert order.index(ALERTS.name) < min(exceeded)
    assert len(exceeded) == 4


@pytest.mark.asyncio
async def test_counting_waits_for_the_changelog(bench: MakeBench) -> None:
    b = bench()
    role, changelog = role_on(b)
    changelog.down_for = 2
    await asyncio.gather(*(role.handle(one) for one in delivered(parts("..."))))
    assert len(changelog.reads) == 3, "read once for all, after two refusals"
    assert len(b.publisher.of(COUNTED.name)) == 3
    assert b.logged == ["away", "back"]


@pytest.mark.asyncio
async def test_two_stations_of_a_line_are_counted_together(bench: MakeBench) -> None:
    b = bench()
    role, _ = role_on(b)
    shots = [decision(station=f"cam-{n % 2}") for n in range(4)]
    other = [decision(line="line-2") for _ in range(3)]
    for one in delivered([*shots, *other]):
        await role.handle(one)
    ((alert, _),) = b.publisher.of(ALERTS.name)
    assert isinstance(alert, Alert)
    assert (alert.line, alert.count) == ("line-1", 4)


@pytest.mark.asyncio
async def test_what_cannot_be_read_becomes_a_dead_letter(bench: MakeBench) -> None:
    b = bench()
    role, _ = role_on(b)
    (good,) = delivered(parts("x"))
    await role.handle(replace(good, value=b"{"))
    await role.failed(good, RuntimeError("unforeseen"))
    letters = [letter for letter, _ in b.publisher.of(DEAD.name)]
    assert [letter.error_type for letter in letters] == ["MalformedEventError", "RuntimeError"]  # type: ignore[attr-defined]


def test_the_changelog_record_has_its_slot_and_partition() -> None:
    (entry,) = Counting().take(parts("x")).slots.values()
    message = entry_message(entry, 5, partition=3)
    assert (message.key, message.partition) == (b"line-1/tile/5", 3)
    assert from_message(CountedPart, message.value, message.headers) == entry


def golden(is_right: bool, **changes: object) -> Decision:
    check = {"actions": ["pass"], "is_right": is_right}
    return decision(golden=check, part_id="GOOD", decided_at=NOW, **changes)


def test_a_golden_part_judged_wrongly_stops_the_line_and_one_judged_right_does_not() -> None:
    wrong = golden(False)
    counting = Counting().take([golden(True), wrong, wrong])
    assert {alert.alert_id for alert in counting.alerts} == {counting.alerts[0].alert_id}
    alert = counting.alerts[0]
    assert (alert.kind, alert.limit, alert.request_stop) == ("golden", "golden/GOOD", True)
    assert "golden part GOOD should be pass; classifier said scrap" in alert.reason
    (late,) = Counting().take([golden(False)], NOW + timedelta(hours=1)).alerts
    assert not late.request_stop


def test_golden_parts_are_in_no_limit_and_in_no_memory() -> None:
    """Three scrapped parts are allowed: golden ones between them are not the fourth."""
    counting = Counting().take([*parts("xxx"), golden(True), golden(True)])
    assert (counting.alerts, len(counting.memory), len(counting.slots)) == ([], 3, 3)
    assert [a.limit for a in counting.take(parts("x")).alerts] == ["many"]


def test_what_a_golden_part_should_be_travels_with_the_part() -> None:
    sent = part_message(golden(False))
    assert from_message(Decision, sent.value, sent.headers).golden is not None
