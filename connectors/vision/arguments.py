"""Whether a method may be called with what a client gives, by the standard's own description.

What is not given at all (Null) is left open. A value of another type is refused: passed over, a
part would lose its name, or be judged by the recipe of before.
"""

from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Final

from asyncua import ua

from connectors.vision.node_table import Typed, nodes

_PASSED_OVER: Final = frozenset({"Cause", "CauseDescription", "Parameters"})
"""Arguments that nothing reads."""
_MISSING: Final = ua.StatusCode(ua.StatusCodes.BadArgumentsMissing)
_TOO_MANY: Final = ua.StatusCode(ua.StatusCodes.BadTooManyArguments)
_INVALID: Final = ua.StatusCode(ua.StatusCodes.BadInvalidArgument)
_UINT32: Final = "i=7"


def refusal(declared: Sequence[Typed], given: Sequence[ua.Variant]) -> ua.StatusCode | None:
    """The status of a call that is refused; None: it is not."""
    read = [one for one in declared if one.name not in _PASSED_OVER]
    if len(given) > len(declared):
        return _TOO_MANY
    if read and len(given) < len(declared):
        return _MISSING
    pairs = zip(declared, given, strict=False)
    fits = (one.name in _PASSED_OVER or _fits(one, argument.Value) for one, argument in pairs)
    return None if all(fits) else _INVALID


def _fits(declared: Typed, value: object) -> bool:
    if value is None:
        return True
    row = nodes().get(declared.data_type)
    structure = getattr(ua, row.plain_name, None) if row is not None else None
    if is_dataclass(structure):  # by its name: a client in this process makes classes of its own
        return type(value).__name__ == structure.__name__  # type: ignore[union-attr]
    lowest = 0 if declared.data_type == _UINT32 else -(1 << 31)
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest
