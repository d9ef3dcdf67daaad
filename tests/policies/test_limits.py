"""Limits across parts: a window of parts, an alert at the crossing only."""

import random
from collections.abc import Iterable
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.defaults import HoldEverything
from policies.evaluate import ResolvedPolicy
from policies.model import Limit, PolicyDocument
from streams.codes import Action
from streams.events import Alert, CountedPart, Decision
from streams.ports import LimitVerdict
from tests.policies.naive import answer, recorded, some_facts

PLAIN = {"classes": {"hole": {"severity": "defect", "action": "scrap"}}}
MANY = {"many": Limit(more_than=3, in_parts=50, action=(Action.SCRAP,), each_class=True, stop=True)}


def part(number: int, action: str = "scrap", name: str = "hole") -> Decision:
    facts = {**some_facts(random.Random(number), PLAIN), "id": UUID(int=number + 1)}
    verdict = answer(action, "defect", name, 0, "CLASS", f"class:{name}")
    return recorded(facts, verdict, "hash", "p")


def limits_of(limits: dict[str, Limit]) -> ResolvedPolicy:
    return ResolvedPolicy(PolicyDocument.model_validate({"product": "p", "limits": limits}))


def run(decisions: Iterable[Decision], limits: dict[str, Limit]) -> list[tuple[int, Alert]]:
    """The alerts, each with the place of the part that raised it."""
    counting, before, exceeded, raised = limits_of(limits), [], frozenset[str](), []
    for number, decision in enumerate(decisions):
        first = max(len(before) - counting.window_parts + 1, 0)
        verdict = counting.observe(decision, before[first:], exceeded)
        fields = decision.model_dump(include=set(CountedPart.model_fields))
        before.append(CountedPart(number=number + 1, **fields))
        exceeded = verdict.exceeded
        raised += [(number, alert) for alert in verdict.alerts]
    return raised


def test_more_than_three_of_one_class_in_fifty_parts() -> None:
    decisions = [part(n, name="hole" if n % 10 == 0 else f"c{n}") for n in range(60)]
    ((number, found),) = run(decisions, MANY)
    assert number == 30
    assert (found.limit, found.count, found.window_parts, found.request_stop) == (
        "many", 4, 50, True
    )  # fmt: skip
    assert "4 parts of class hole were scrap in the last 50" in found.reason


def test_far_apart_is_never_exceeded() -> None:
    decisions = [part(n, "scrap" if n % 17 == 0 else "pass") for n in range(400)]
    assert run(decisions, MANY) == []


def test_it_is_raised_once_and_again_after_it_was_over() -> None:
    decisions = [part(n) for n in range(10)]
    decisions += [part(n, "pass") for n in range(10, 70)]
    decisions += [part(n) for n in range(70, 80)]
    assert [number for number, _ in run(decisions, MANY)] == [3, 73]


def test_the_alert_repeats_its_id_and_is_not_raised_again_while_it_stays() -> None:
    counting, fourth = limits_of(MANY), part(3)
    before = [
        CountedPart(number=n + 1, **part(n).model_dump(include=set(CountedPart.model_fields)))
        for n in range(3)
    ]
    once, twice = (counting.observe(fourth, before, frozenset()) for _ in range(2))
    assert once == twice
    assert once.exceeded == {"many/hole"}
    assert counting.observe(fourth, before, once.exceeded).alerts == ()


def test_without_an_action_every_stopped_part_counts() -> None:
    limits = {"any": Limit(more_than=1, in_parts=5)}
    raised = run([part(0, "hold"), part(1, "pass"), part(2, "rework")], limits)
    assert [number for number, _ in raised] == [2]


def test_a_product_without_limits_or_without_a_policy_keeps_nothing() -> None:
    assert limits_of({}).window_parts == 0
    assert run([part(n) for n in range(5)], {}) == []
    assert HoldEverything("p").window_parts is None
    assert HoldEverything("p").observe(part(0), (), frozenset()) == LimitVerdict()


@settings(deadline=None, max_examples=100)
@given(
    stream=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["pass", "scrap"])), max_size=80),
    more_than=st.integers(0, 5),
    in_parts=st.integers(6, 20),
)
def test_against_a_plain_count(
    stream: list[tuple[int, str]], more_than: int, in_parts: int
) -> None:
    limits = {"l": Limit(more_than=more_than, in_parts=in_parts, action=(Action.SCRAP,))}
    kept: list[tuple[int, str]] = []
    expected, was = [], False
    for position, (number, action) in enumerate(stream):
        kept = [*kept, (number, action)][-in_parts:]
        now = sum(a == "scrap" for _, a in kept) > more_than
        if now and not was:
            expected.append(position)
        was = now
    assert [n for n, _ in run([part(n, a) for n, a in stream], limits)] == expected
