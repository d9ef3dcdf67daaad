"""Limits across parts: a window of parts, each counted once, an alert at the crossing only."""

import json
import random
from collections.abc import Iterable
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.limits import Exceeded, LimitWindow, alert_of, observe
from policies.model import Limit
from streams.codes import Action
from streams.events import Decision
from tests.policies.naive import answer, recorded, some_facts

PLAIN = {"classes": {"hole": {"severity": "defect", "action": "scrap"}}}
MANY = {"many": Limit(more_than=3, in_parts=50, action=(Action.SCRAP,), each_class=True, stop=True)}


def part(number: int, action: str = "scrap", name: str = "hole", late: bool = False) -> Decision:
    facts = {**some_facts(random.Random(number), PLAIN), "id": UUID(int=number + 1)}
    verdict = answer(action, "defect", name, 0, "CLASS", f"class:{name}")
    return recorded(facts, verdict, "hash", "p").model_copy(update={"is_late": late})


def run(
    decisions: Iterable[Decision], limits: dict[str, Limit]
) -> tuple[LimitWindow, list[tuple[int, Exceeded]]]:
    window, raised = LimitWindow(), []
    for number, decision in enumerate(decisions):
        window, found = observe(window, decision, limits)
        window = LimitWindow.from_dict(json.loads(json.dumps(window.to_dict())))
        raised += [(number, one) for one in found]
    return window, raised


def test_more_than_three_of_one_class_in_fifty_parts() -> None:
    decisions = [part(n, name="hole" if n % 10 == 0 else f"c{n}") for n in range(60)]
    _, raised = run(decisions, MANY)
    ((number, found),) = raised
    assert number == 30
    assert (found.class_name, found.count, found.request_stop) == ("hole", 4, True)
    assert "4 parts of class hole were scrap in the last 50" in found.reason


def test_far_apart_is_never_exceeded() -> None:
    decisions = [part(n, "scrap" if n % 17 == 0 else "pass") for n in range(400)]
    assert run(decisions, MANY)[1] == []


def test_it_is_raised_once_and_again_after_it_was_over() -> None:
    decisions = [part(n) for n in range(10)]
    decisions += [part(n, "pass") for n in range(10, 70)]
    decisions += [part(n) for n in range(70, 80)]
    assert [number for number, _ in run(decisions, MANY)[1]] == [3, 73]


def test_redelivery_and_second_decisions_count_once() -> None:
    decisions = [part(n) for n in (0, 0, 1, 1, 2, 2, 0, 1, 2)]
    assert run(decisions, MANY)[1] == []
    late = [part(3, late=True)]
    window, raised = run([*decisions, *late], MANY)
    assert raised == []
    assert len(window.parts) == 3


def test_the_alert_repeats_its_id_under_redelivery() -> None:
    fourth = part(3)
    _, found = observe(run([part(n) for n in range(3)], MANY)[0], fourth, MANY)
    one, two = alert_of(fourth, found[0]), alert_of(fourth, found[0])
    assert one == two
    assert (one.limit, one.count, one.window_parts, one.request_stop) == ("many", 4, 50, True)


def test_without_an_action_every_stopped_part_counts() -> None:
    limits = {"any": Limit(more_than=1, in_parts=5)}
    _, raised = run([part(0, "hold"), part(1, "pass"), part(2, "rework")], limits)
    assert [number for number, _ in raised] == [2]


def test_a_product_without_limits_keeps_nothing() -> None:
    assert run([part(n) for n in range(5)], {})[0] == LimitWindow()


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
        if number in {n for n, _ in kept}:
            continue
        kept = [*kept, (number, action)][-in_parts:]
        now = sum(a == "scrap" for _, a in kept) > more_than
        if now and not was:
            expected.append(position)
        was = now
    assert [n for n, _ in run([part(n, a) for n, a in stream], limits)[1]] == expected
