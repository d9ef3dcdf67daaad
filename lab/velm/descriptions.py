"""What a classifier is told of each object: the authors' JSON, or Andon's own policies."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lab.velm.released import read_released, split_normal
from policies.authoring.loading import load_policy
from streams.errors import AndonError
from streams.ports import ClassificationTexts, Policy

POLICY_SUFFIXES: Final = frozenset({".yaml", ".yml"})
LEAD: Final = "Classify the anomaly as follows."
"""Begins a strategy that would not be told from the description of the normal object."""


class DescriptionsError(AndonError):
    """Descriptions that do not fit a data set; names object and class."""


@dataclass(frozen=True)
class Described:
    """One object's texts, and its policy where they come from one."""

    texts: ClassificationTexts
    policy: Policy | None = None

    def label_of(self, class_name: str) -> str:
        """The display name of a class: what a model answers and a predictions file holds."""
        for entry in self.texts.classes:
            if entry.name == class_name:
                return entry.display_name or entry.name
        return class_name


def read_descriptions(path: Path, egress: str | None = None) -> dict[str, Described]:
    """Texts by object: a JSON as the authors released it, one policy, or a folder of policies.

    Args:
        path: ``*.json``, ``*.yaml``, or a folder with ``*.yaml``.
        egress: instead of what the texts say (a JSON says nothing, which is ``none``).

    Raises:
        DescriptionsError: no such file.
        prompts.PromptError: not of the released form.
        policies.errors.PolicyError: a policy that cannot be used.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in POLICY_SUFFIXES)
        if not files:
            raise DescriptionsError(f"{path}: no policies (*.yaml) in this folder")
        found = [_of_policy(p) for p in files]
    elif not path.is_file():
        raise DescriptionsError(f"{path}: no such file")
    elif path.suffix in POLICY_SUFFIXES:
        found = [_of_policy(path)]
    else:
        found = [Described(texts) for texts in read_released(path).values()]
    if egress is not None:
        found = [replace(d, texts=replace(d.texts, egress=egress)) for d in found]
    return {d.texts.product_id: d for d in found}


def check_classes(
    name: str, classes: Iterable[str], described: Mapping[str, Described], where: Path
) -> Described:
    """The object's texts.

    Raises:
        DescriptionsError: the object, or a class of its test set, is not described.
    """
    if name not in described:
        known = ", ".join(sorted(described))
        raise DescriptionsError(f"{where}: object {name!r} is not described (there are {known})")
    found = described[name]
    known_classes = {c.name for c in found.texts.classes}
    absent = sorted(set(classes) - known_classes)
    if absent:
        raise DescriptionsError(
            f"{where}: {name} has no description of class {', '.join(absent)}; described are "
            f"{', '.join(sorted(known_classes))}"
        )
    return found


def write_released(path: Path, described: Iterable[Described]) -> None:
    """The texts in the authors' form, so that ``evaluate predictions`` can score against them."""
    released = {
        texts.product_id: {
            "normal": [_normal(texts)],
            **{c.name: [c.display_name or c.name, c.description] for c in texts.classes},
        }
        for texts in (each.texts for each in described)
    }
    text = json.dumps(released, indent=4, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _normal(texts: ClassificationTexts) -> str:
    """Description and strategy in one text, such that ``split_normal`` separates them again."""
    description, strategy = texts.normal_description.strip(), texts.strategy.strip()
    joined = f"{description} {strategy}".strip()
    if not strategy or split_normal(joined) == (description, strategy):
        return joined
    return f"{description} {LEAD} {strategy}".strip()


def _of_policy(path: Path) -> Described:
    policy = load_policy(path)
    return Described(policy.texts(""), policy)
