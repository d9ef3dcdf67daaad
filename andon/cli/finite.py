"""Numbers of a command line are finite: ``nan`` passes every bound that a range checks."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from typer._click.core import Command, Context, Parameter

Callback = Callable[["Context", "Parameter", object], object]


def with_finite_numbers(command: "Command") -> "Command":
    """The command, whose options and arguments refuse ``nan`` and ``inf`` as bad usage."""
    for parameter in command.params:
        parameter.callback = _checking(parameter.callback)
    for below in getattr(command, "commands", {}).values():
        with_finite_numbers(below)
    return command


def _checking(callback: Callback | None) -> Callback:
    def checked(ctx: "Context", parameter: "Parameter", value: object) -> object:
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                hint = next(iter(parameter.opts), parameter.name)
                raise typer.BadParameter(f"{number} is no finite number", param_hint=hint)
        return value if callback is None else callback(ctx, parameter, value)

    return checked
