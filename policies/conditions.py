"""Conditions in CEL (Common Expression Language): compiled once, bounded, without macros."""

from collections.abc import Mapping
from typing import Any

import cel

from policies.errors import ConditionError

_ALLOWED = frozenset("_&&_ _||_ !_ _==_ _!=_ _<_ _<=_ _>_ _>=_ @in startsWith".split())  # noqa: SIM905


class CompiledCondition:
    """One condition. Evaluation costs at most one pass over its at most 500 characters."""

    __slots__ = ("_program", "source", "variables")

    def __init__(self, source: str, known: frozenset[str]) -> None:
        try:
            self._program = cel.compile(source)
        except ValueError as error:
            raise ConditionError(f"not a CEL expression: {str(error).splitlines()[0]}") from None
        self.source = source
        self.variables: tuple[str, ...] = tuple(self._program.variables())
        for name in self.variables:
            if name not in known:
                raise ConditionError(f"unknown name {name!r}")
        for function in self._program.functions():
            if function not in _ALLOWED:
                raise ConditionError(f"{function!r} is not allowed")

    def holds(self, context: Any) -> bool:
        """Whether the condition is true. Anything that goes wrong raises."""
        return self._program.execute(context) is True


def context_of(values: Mapping[str, Any]) -> Any:
    """What conditions are evaluated against."""
    context = cel.Context()
    for name, value in values.items():
        context.add_variable(name, value)
    return context
