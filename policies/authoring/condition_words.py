"""What can stand at the end of a condition that is being written: names, texts they can equal."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.authoring.policy_names import PolicyNames
from policies.conditions.variables import MISSING, OF_A_VERDICT, VARIABLES, Variable
from streams.codes import Action, Severity

_EQUALS: Final = re.compile(r"(\w+)\s*[!=]=\s*$")
_IN: Final = re.compile(r"(\w+)\s+in\s*\[([^\]]*)$")
_CALL: Final = re.compile(r"(\w+)\.(?:startsWith|endsWith|contains)\(\s*$")
_METHOD: Final = re.compile(r"(\w+)\.(\w*)$")
_NAME: Final = re.compile(r"(?:^|[\s(!\[,&|<>=+*/-])([A-Za-z_]\w*)?$")
_AFTER_VALUE: Final = re.compile(r"[\w)\]'\"]\s+$")
_LISTED: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_METHODS: Final = ("startsWith", "endsWith", "contains")


@dataclass(frozen=True)
class Offer:
    """One thing that can stand at the cursor."""

    label: str
    insert: str
    """What is written when it is taken."""
    kind: str
    """``key``, ``value``, ``name``, ``text`` or ``method``."""
    about: str = ""


def condition_offers(
    written: str, given: PolicyNames, of_shots: bool = False
) -> tuple[str, list[Offer]]:
    """The part of it that is being typed, and what it can become.

    Args:
        written: the condition up to the cursor.
        given: names that the policy gives.
        of_shots: whether it is a condition over the shots of a part.

    >>> typed, offers = condition_offers("class == 'cr", PolicyNames(classes=("crack",)))
    >>> typed, offers[0].label
    ('cr', 'crack')
    """
    head, text = _open_text(written)
    if text is not None:
        return text, _texts(head, given, of_shots)
    if method := _METHOD.search(written):
        of_text = method[1] in _kinds(of_shots) and _kinds(of_shots)[method[1]].kind is str
        found = [Offer(name, f"{name}('", "method") for name in _METHODS] if of_text else []
        return method[2], found
    name = _NAME.search(written)
    if name is None:
        return "", []
    typed = name[1] or ""
    if _AFTER_VALUE.search(written[: len(written) - len(typed)]) and not _is_operator(written):
        return typed, []
    return typed, [
        Offer(name, name, "name", variable.meaning) for name, variable in _kinds(of_shots).items()
    ]


def _is_operator(written: str) -> bool:
    """Whether the word before the last one asks for a value: ``in``, and nothing else."""
    return bool(re.search(r"\bin\s+\w*$", written))


def _open_text(written: str) -> tuple[str, str | None]:
    """What stands before a text that is not closed, and what is written of the text."""
    quote, begins = "", 0
    for index, character in enumerate(written):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote, begins = character, index
    return (written[:begins], written[begins + 1 :]) if quote else (written, None)


def _texts(head: str, given: PolicyNames, of_shots: bool) -> list[Offer]:
    listed: set[str] = set()
    found = _EQUALS.search(head) or _CALL.search(head)
    if found is None:
        found = _IN.search(head)
        listed = {one or other for one, other in _LISTED.findall(found[2])} if found else set()
    words = _options(found[1], given, of_shots) if found else ()
    return [Offer(word, word, "text") for word in words if word not in listed]


def _options(name: str, given: PolicyNames, of_shots: bool) -> tuple[str, ...]:
    """The texts that a name can be equal to, in the order of the policy."""
    options: Mapping[str, tuple[str, ...]] = {
        "class": (*given.classes, "normal", "unknown"),
        "zone": given.zones,
        "shift": given.shifts,
    }
    if of_shots:
        options = {
            **options,
            "severity": tuple(Severity),
            "action": tuple(Action),
            "source": ("expert", "classifier", "fallback", MISSING),
        }
    return options.get(name, ())


def _kinds(of_shots: bool) -> Mapping[str, Variable]:
    return VARIABLES | OF_A_VERDICT if of_shots else VARIABLES
