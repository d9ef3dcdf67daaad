"""Whether every part was decided by the recipe in force: from the controller's book and Kafka.

It shares no code with the handshake. What counts is evidence: the picture's own name tells how the
camera stood, the decision names policy and expert, and the controller wrote down when it asked and
when it was answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.plc.ledger import Key, LedgerEntry, LedgerRow
from streams.codes import ReasonCode
from streams.events import Decision


@dataclass(frozen=True)
class OfRecipe:
    """What a decision by one recipe looks like."""

    product: str
    policy_hash: str
    expert_version: str
    camera: str
    """How the names of its pictures begin."""


@dataclass(frozen=True)
class RecipeSpan:
    """One recipe from its request to the acknowledgement of the next, by the controller's clock."""

    recipe: int
    asked_at: float
    answered_at: float
    until: float


@dataclass(frozen=True)
class AskedRecipe:
    """One request, as the controller saw it."""

    seq: int
    recipe: int
    asked_at: float
    answered_at: float | None = None
    active: int = 0
    fault: int = 0

    @property
    def is_answered(self) -> bool:
        return self.answered_at is not None

    @property
    def is_in_force(self) -> bool:
        """Whether it is the recipe that was asked for."""
        return self.is_answered and self.active == self.recipe

    @property
    def took_s(self) -> float:
        return (self.answered_at or self.asked_at) - self.asked_at


def asked_of(rows: Sequence[LedgerRow]) -> list[AskedRecipe]:
    """The requests in the book, each with its answer."""
    found: dict[int, AskedRecipe] = {}
    for row in rows:
        more = {
            name: int(str(value))
            for name, value in (row.model_extra or {}).items()
            if name in ("recipe", "recipe_seq", "fault")
        }
        if row.event == "recipe_asked":
            found[more["recipe_seq"]] = AskedRecipe(more["recipe_seq"], more["recipe"], row.at)
        elif row.event == "recipe_answered" and more["recipe_seq"] in found:
            asked = found[more["recipe_seq"]]
            found[asked.seq] = AskedRecipe(
                asked.seq, asked.recipe, asked.asked_at, row.at, more["recipe"], more["fault"]
            )
    return list(found.values())


def spans_of(asked: Sequence[AskedRecipe]) -> list[RecipeSpan]:
    """When each recipe was in force; refused requests change nothing."""
    changes = [one for one in asked if one.is_in_force and one.answered_at is not None]
    ends = [one.answered_at or 0.0 for one in changes[1:]] + [float("inf")]
    return [
        RecipeSpan(one.recipe, one.asked_at, one.answered_at or 0.0, until)
        for one, until in zip(changes, ends, strict=True)
    ]


def wrong_recipe(
    entry: LedgerEntry,
    decision: Decision,
    picture: str,
    recipes: Mapping[int, OfRecipe],
    spans: Sequence[RecipeSpan],
) -> str:
    """What is wrong with the recipe of a part that was captured; empty where nothing is."""
    of = recipes.get(decision.recipe)
    if of is None:
        return f"decided by recipe {decision.recipe}"
    version = decision.inspection.expert_version if decision.inspection else of.expert_version
    found = (decision.product_id, decision.policy_hash, version)
    if found != (of.product, of.policy_hash, of.expert_version):
        return f"recipe {decision.recipe}, and decided by {found}"
    if not picture.startswith(of.camera):
        return f"recipe {decision.recipe}, and the picture is {picture}"
    triggered, decided = entry.trigger.at, decision.decided_at.timestamp()
    own = [span for span in spans if span.recipe == decision.recipe]
    if any(span.asked_at <= triggered and decided <= span.until for span in own):
        return ""
    return f"recipe {decision.recipe} decided after another one was acknowledged"


def judged(
    book: Sequence[LedgerEntry],
    decisions: Mapping[Key, Sequence[Decision]],
    pictures: Mapping[Key, str],
    recipes: Mapping[int, OfRecipe],
    asked: Sequence[AskedRecipe],
) -> dict[str, object]:
    """Every part against the recipes; figures, and in words what is wrong. Pure."""
    spans, wrong, held, by_recipe = spans_of(asked), [], 0, dict.fromkeys(recipes, 0)
    lost = [e.part_id for e in book if not e.applied]
    for entry in book:
        for decision in decisions.get(entry.key, ()):
            if decision.reason_code is ReasonCode.MISSED_TRIGGER:
                held += 1
                continue
            by_recipe[decision.recipe] = by_recipe.get(decision.recipe, 0) + 1
            said = wrong_recipe(entry, decision, pictures.get(entry.key, ""), recipes, spans)
            if said:
                wrong.append(f"{entry.part_id}: {said}")
    return {
        "parts": len(book),
        "by_old_recipe": len(wrong),
        "lost": len(lost),
        "acted_twice": sum(entry.results_in_window > 1 for entry in book),
        "held_during_change_over": held,
        "decided_by_recipe": by_recipe,
        "wrong": [*wrong, *lost][:20],
    }
