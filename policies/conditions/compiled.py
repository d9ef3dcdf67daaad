"""Conditions in CEL (Common Expression Language): checked, compiled once, evaluated often."""

from collections.abc import Mapping

import cel

from policies.conditions.checker import check
from policies.conditions.expression import Expression, unparse, variables_of
from policies.conditions.parser import parse
from policies.conditions.variables import Value, Vocabulary
from policies.errors import ConditionError


class CompiledCondition:
    """One condition. Evaluation visits each of its at most 200 parts at most once.

    >>> condition = CompiledCondition("class == 'crack' && count > 3", Vocabulary({"crack"}))
    >>> condition.holds(context_of({"class": "crack", "count": 4.0}))
    True
    """

    __slots__ = ("_program", "source", "tree", "variables")

    def __init__(self, source: str, vocabulary: Vocabulary) -> None:
        """Check and compile.

        Raises:
            ConditionError: the first of its errors (``problems_of`` lists all).
        """
        self.tree: Expression = parse(source)
        errors = check(self.tree, vocabulary)
        if errors:
            raise errors[0]
        self.source = source
        self.variables = variables_of(self.tree)
        try:
            self._program = cel.compile(unparse(self.tree))
        except ValueError as error:
            raise ConditionError(f"CEL refuses it: {str(error).splitlines()[0]:.200}") from None

    def holds(self, context: "cel.Context") -> bool:
        """Whether the condition is true. Whatever CEL raises passes through."""
        return self._program.execute(context) is True


def problems_of(source: str, vocabulary: Vocabulary) -> list[ConditionError]:
    """Everything wrong with a condition; empty when it compiles."""
    try:
        return check(parse(source), vocabulary)
    except ConditionError as error:
        return [error]


def context_of(values: Mapping[str, Value]) -> "cel.Context":
    """What conditions are evaluated against."""
    context = cel.Context()
    for name, value in values.items():
        context.add_variable(name, value)
    return context
