"""Drafts a policy for a product that has none, from the classes that somebody named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streams.codes import Action, Severity

_HEAD: Final = """\
# A first policy of this product, drafted from the defects that were named. Change what you like:
# every line is checked before it counts. The guide is docs/policies/guide.md.
policy: 1
product: {product}
# Two of a hundred parts that pass are kept with their picture, for somebody to look at later.
audit_share: 0.02
# Nothing of a picture leaves the plant.
egress: none
"""
_NORMAL: Final = """
normal:
  description: >-
    A good part. Say here in a sentence or two what it looks like.
"""
_NO_CLASSES: Final = """
# No defect has a name yet: every part that looks odd is held, for a person to look at.
classes: {}
"""
_FALLBACKS: Final = """
# What the line does when nobody could say in time what is odd about a part.
fallbacks:
  unknown: hold
  unsure: {below: 0.5, action: hold}
  late: hold
  expert_unavailable: hold
  no_decision: hold
"""


@dataclass(frozen=True)
class ClassMeaning:
    """What a kind of defect means for a part."""

    severity: Severity
    action: Action
    description: str = ""


def draft_policy(product: str, classes: Mapping[str, ClassMeaning]) -> str:
    """The text of a policy that names these classes, and holds what it cannot name.

    >>> "action: scrap" in draft_policy("t", {"crack": ClassMeaning(Severity.DEFECT, Action.SCRAP)})
    True
    """
    drafted = "".join(
        f"  {_text(name)}:\n"
        f"    display_name: {_text(name)}\n"
        + (f"    description: {_text(meant.description)}\n" if meant.description else "")
        + f"    severity: {meant.severity.value}\n"
        f"    action: {meant.action.value}\n"
        for name, meant in sorted(classes.items())
    )
    named = f"\nclasses:\n{drafted}" if drafted else _NO_CLASSES
    return _HEAD.format(product=_text(product)) + _NORMAL + named + _FALLBACKS


def _text(words: str) -> str:
    """Any text as YAML takes it on one line."""
    return json.dumps(" ".join(words.split()), ensure_ascii=False)
