"""A document out of a tree with faults: mended where needed, so that all faults show at once."""

import json
from typing import Any

from pydantic import ValidationError

from policies.authoring.translate import Location, problem_of
from policies.authoring.yaml_tree import Node
from policies.errors import Problem
from policies.model import PolicyDocument

_ROUNDS = 4
_FILLERS: dict[str, Any] = {
    "policy": 1,
    "product": "mended",
    "severity": "defect",
    "action": "hold",
    "when": "true",
    "mm_per_px": {"default": 1.0},
    "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]],
    "start": "00:00",
    "end": "12:00",
    "more_than": 0,
    "in_parts": 2,
    "code": "W000",
    "reason": "mended",
    "timezone": "UTC",
}
"""What stands in for a value that is missing or wrong, so that the rest can be looked at."""


def document_of(tree: Node) -> tuple[PolicyDocument | None, list[Problem]]:
    """The document, mended where it is wrong, and what is wrong with its form.

    The document is only fit to be used when there are no problems.
    """
    data = tree.data()
    problems: list[Problem] = []
    for attempt in range(_ROUNDS):
        try:
            return PolicyDocument.model_validate_json(json.dumps(data), strict=True), problems
        except ValidationError as error:
            found = error.errors(include_url=False)
        if attempt == 0:
            problems = [problem_of(e, tree) for e in found]
        for number, fault in enumerate(found):
            _mend(data, fault["loc"], f"mended{attempt}.{number}")
    return None, problems


def _mend(whole: Any, location: Location, unique: str) -> None:
    data: Any = whole
    for depth, step in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(data, list):
            if last or not isinstance(step, int) or step >= len(data):
                data.clear()
                return
            data = data[step]
        elif isinstance(data, dict):
            if step in _FILLERS and (last or step in ("polygon", "mm_per_px")):
                data[step] = _FILLERS[str(step)]
                return
            if last or "[key]" in location[depth + 1 :] or step not in data:
                _replace(data, str(step), unique)
                return
            data = data[step]
        else:
            return


def _replace(data: dict[str, Any], key: str, unique: str) -> None:
    data.pop(key, None)
    if key == "name":
        data[key] = unique
