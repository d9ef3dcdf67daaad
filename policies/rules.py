"""The conditions of a policy's rules, compiled with the names that the policy gives."""

from collections.abc import Sequence
from typing import TypeVar

from policies.conditions.compiled import CompiledCondition
from policies.conditions.variables import Vocabulary
from policies.errors import ConditionError, InvalidPolicyError, Problem
from policies.model import PolicyDocument, Rule, ShotRule

AnyRule = TypeVar("AnyRule", Rule, ShotRule)


def vocabulary_of(document: PolicyDocument, of_shots: bool = False) -> Vocabulary:
    """The names that the document's conditions, or its rules over shots, may use."""
    return Vocabulary(
        of_shots=of_shots,
        classes=frozenset(document.classes),
        zones=frozenset(zone.name for zone in document.zones),
        shifts=frozenset(document.shifts),
    )


def compile_rules(
    document: PolicyDocument, rules: Sequence[AnyRule], where: str, of_shots: bool = False
) -> tuple[tuple[AnyRule, CompiledCondition], ...]:
    """The rules in order, each with its condition.

    Args:
        document: whose rules they are.
        rules: of a part, or over its shots.
        where: their place in the document, for the errors.
        of_shots: whether they are over shots.

    Raises:
        InvalidPolicyError: names each condition that does not compile.
    """
    vocabulary = vocabulary_of(document, of_shots)
    compiled, problems = [], []
    for index, rule in enumerate(rules):
        try:
            compiled.append((rule, CompiledCondition(rule.when, vocabulary)))
        except ConditionError as error:
            at = f"{where}[{index}].when"
            problems.append(Problem(document.product, 0, 0, "E301", at, str(error)))
    if problems:
        raise InvalidPolicyError(problems)
    return tuple(compiled)
