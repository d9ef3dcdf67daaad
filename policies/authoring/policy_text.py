"""Writes a policy as the YAML that a person would: without what is so by default."""

import io
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, FoldedScalarString

from policies.evaluate import ResolvedPolicy

_LONG: Final = 80
_WIDTH: Final = 96
_IN_BRACES: Final = frozenset({"polygon", "unsure", "prices", "stations", "action", "classes"})
"""What stands on one line where it is short."""
_APART: Final = ("normal", "strategy", "classes", "zones", "rules", "fallbacks", "shots", "limits")


def text_of(policy: ResolvedPolicy) -> str:
    """The policy's YAML; it has no comments, for the body of a policy has none.

    >>> from policies.authoring.loading import check_text
    >>> text = "product: tile\\nclasses: {pit: {severity: defect, action: hold}}"
    >>> print(text_of(check_text(text).policy))
    policy: 1
    product: tile
    <BLANKLINE>
    classes:
      pit:
        severity: defect
        action: hold
    <BLANKLINE>
    """
    document = policy.document.model_dump(mode="json", exclude_defaults=True)
    tree = _shaped({"policy": 1, **document}, "")
    assert isinstance(tree, CommentedMap)
    for key in _APART:
        if key in tree:
            tree.yaml_set_comment_before_after_key(key, before="\n")
    writer = YAML()
    writer.width = _WIDTH
    writer.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    writer.dump(tree, out)
    return "\n".join("" if line == "#" else line for line in out.getvalue().split("\n"))


def _shaped(value: object, key: str) -> object:
    if isinstance(value, dict):
        made = CommentedMap({name: _shaped(inner, name) for name, inner in value.items()})
        if key in _IN_BRACES and key != "classes":
            made.fa.set_flow_style()
        return made
    if isinstance(value, list | tuple):
        listed = CommentedSeq(
            _shaped(inner, "polygon" if key == "polygon" else "") for inner in value
        )
        if key in _IN_BRACES:
            listed.fa.set_flow_style()
        return listed
    if isinstance(value, str):
        return _worded(value, key)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _worded(text: str, key: str) -> str:
    """A long text for people over several lines, and a time of day as what it is: a text."""
    if key in ("description", "strategy") and len(text) > _LONG and "\n" not in text:
        return FoldedScalarString(text) if text == text.strip() else text
    return DoubleQuotedScalarString(text) if key in ("start", "end") else text
