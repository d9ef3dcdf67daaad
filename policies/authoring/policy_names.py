"""Names that a policy gives, read line by line: the rest of its text may be half written."""

import re
from dataclasses import dataclass
from typing import Final

_KEY: Final = r"""("[^"]+"|'[^']+'|[^\s#:{}\[\],&*!|>'"%@`-][^#:{}\[\],]*?)\s*:(?=\s|$)"""
_TOP: Final = re.compile(rf"^{_KEY}")
_INNER: Final = re.compile(rf"^(\s+){_KEY}")
_FLOW_KEY: Final = re.compile(r"""(?:^|[{,])\s*("[^"]+"|'[^']+'|[\w.-]+)\s*:(?=\s|$)""")
_ZONE: Final = re.compile(r"""^\s*(?:-\s*\{?\s*)?name:\s*("[^"]+"|'[^']+'|[\w.-]+)""")


@dataclass(frozen=True)
class PolicyNames:
    """What conditions of a policy may name, in the order of its text."""

    classes: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()


def names_given(text: str) -> PolicyNames:
    """The names of a policy's text, also of one that is no YAML at the moment.

    >>> names_given("classes:\\n  crack: {severity: defect}\\nzones:\\n  - name: rim\\n")
    PolicyNames(classes=('crack',), zones=('rim',), shifts=())
    """
    found: dict[str, list[str]] = {"classes": [], "zones": [], "shifts": []}
    section, depth = "", -1
    for line in text.splitlines():
        if top := _TOP.match(line):
            section, depth = _plain(top[1]), -1
        elif section == "zones" and (zone := _ZONE.match(line)):
            found["zones"].append(_plain(zone[1]))
        elif section in ("classes", "shifts") and (inner := _INNER.match(line)):
            indent = len(inner[1])
            depth = indent if depth < 0 else depth
            if indent == depth:
                found[section].append(_plain(inner[2]))
    return PolicyNames(**{name: tuple(dict.fromkeys(names)) for name, names in found.items()})


def keys_behind(behind: str, column: int, is_flow: bool) -> set[str]:
    """Keys of the cursor's own mapping that stand behind it.

    Args:
        behind: the text from the cursor on.
        column: where the mapping's keys begin.
        is_flow: whether it stands in braces.
    """
    if is_flow:
        return {_plain(key) for key in _FLOW_KEY.findall(behind.partition("}")[0])}
    keys: set[str] = set()
    for line in behind.partition("\n")[2].splitlines():
        indent = len(line) - len(line.lstrip(" "))
        if not line.strip() or indent > column or line.lstrip().startswith("#"):
            continue
        key = _TOP.match(line[column:])
        if indent < column or key is None:
            break
        keys.add(_plain(key[1]))
    return keys


def _plain(key: str) -> str:
    return key.strip().strip("'\"")
