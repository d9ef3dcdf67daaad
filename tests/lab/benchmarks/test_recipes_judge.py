"""The judge of the benchmark of recipes finds every way in which a part can have the wrong one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lab.benchmarks.recipes_judge import OfRecipe, asked_of, judged, spans_of
from lab.plc.ledger import LedgerRow, entries_of
from streams.codes import ReasonCode
from streams.events import Decision
from tests.connectors.line import decision_for, frame_on
from tests.streams.made import inspection

RECIPES = {
    1: OfRecipe("small", "policy-1", "expert-1", "synthetic-1-"),
    2: OfRecipe("large", "policy-2", "expert-2", "synthetic-2-"),
}


def row(event: str, at: float, **fields: object) -> LedgerRow:
    return LedgerRow.model_validate({"event": event, "plc_boot_id": 1, "at": at, **fields})


def asked(seq: int, recipe: int, at: float, active: int = 0, fault: int = 0) -> list[LedgerRow]:
    """A request, and its answer a second later; ``active`` where that is another recipe."""
    return [
        row("recipe_asked", at, recipe_seq=seq, recipe=recipe),
        row("recipe_answered", at + 1, recipe_seq=seq, recipe=active or recipe, fault=fault),
    ]


ASKED = [*asked(1, 1, 0.0), *asked(2, 2, 10.0), *asked(3, 9, 20.0, active=2, fault=7)]


def decided(recipe: int, at: float, /, **changes: object) -> Decision:
    of = RECIPES[recipe]
    looked = inspection(anomalous=False).model_copy(update={"expert_version": of.expert_version})
    fields = {
        "recipe": recipe,
        "product_id": of.product,
        "policy_hash": of.policy_hash,
        "inspection": looked,
        "decided_at": datetime.fromtimestamp(at, UTC),
    }
    return decision_for(frame_on("line1")).model_copy(update=fields | changes)


def found(decision: Decision, at: float, picture: str = "") -> dict[str, Any]:
    result = row("result", at + 1, trigger_seq=1, result_seq=1, disposition="applied")
    book = entries_of([row("trigger", at, trigger_seq=1, part_id="a"), result])
    picture = picture or f"synthetic-{decision.recipe}-000001.png"
    answers = asked_of(ASKED)
    return judged(book, {(1, 1): [decision]}, {(1, 1): picture}, RECIPES, answers)


def test_each_recipe_is_in_force_until_the_next_is_acknowledged() -> None:
    spans = [(s.recipe, s.asked_at, s.answered_at, s.until) for s in spans_of(asked_of(ASKED))]
    assert spans == [(1, 0.0, 1.0, 11.0), (2, 10.0, 11.0, float("inf"))]


@pytest.mark.parametrize(
    ("recipe", "triggered", "at"), [(1, 5.0, 6.0), (1, 9.9, 10.9), (2, 12.0, 12.5), (2, 10.9, 11.2)]
)
def test_a_part_of_the_recipe_in_force_is_right(recipe: int, triggered: float, at: float) -> None:
    assert found(decided(recipe, at), triggered)["by_old_recipe"] == 0


@pytest.mark.parametrize(
    ("recipe", "triggered", "at", "changes"),
    [
        (1, 10.5, 11.5, {}),  # decided after the other one was acknowledged
        (1, 12.0, 12.5, {}),
        (2, 9.0, 12.0, {}),  # triggered before it was asked for
        (2, 12.0, 12.5, {"policy_hash": "policy-1"}),
        (2, 12.0, 12.5, {"product_id": "small"}),
        (2, 12.0, 12.5, {"inspection": decided(1, 0.0).inspection}),
        (2, 12.0, 12.5, {"recipe": 9}),
        (2, 12.0, 12.5, {"recipe": 0}),
    ],
)
def test_whatever_is_of_another_recipe_is_found(
    recipe: int, triggered: float, at: float, changes: dict[str, object]
) -> None:
    assert found(decided(recipe, at, **changes), triggered)["by_old_recipe"] == 1


def test_a_picture_by_the_camera_of_before_is_found() -> None:
    assert found(decided(2, 12.5), 12.0, "synthetic-1-000001.png")["by_old_recipe"] == 1


def test_a_held_part_is_of_no_recipe_and_one_without_a_result_is_lost() -> None:
    held = decided(1, 10.6, recipe=0, reason_code=ReasonCode.MISSED_TRIGGER)
    figures = found(held, 10.5)
    assert (figures["by_old_recipe"], figures["held_during_change_over"]) == (0, 1)
    book = entries_of([row("trigger", 5.0, trigger_seq=1, part_id="a")])
    assert judged(book, {}, {}, RECIPES, asked_of(ASKED))["lost"] == 1
