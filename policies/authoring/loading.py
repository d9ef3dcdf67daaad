"""Loads a YAML file: a policy that can decide, or everything that is wrong with the file."""

from dataclasses import dataclass
from pathlib import Path

from policies.authoring.lints import lints_of
from policies.authoring.policy_file import read_text, read_tree
from policies.authoring.schema_check import document_of
from policies.authoring.semantic_check import errors_of
from policies.authoring.yaml_tree import Node
from policies.errors import InvalidPolicyError, Problem
from policies.evaluate import ResolvedPolicy


@dataclass(frozen=True)
class Report:
    """What a check of one file found."""

    file: str
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    silenced: tuple[Problem, ...] = ()
    policy: ResolvedPolicy | None = None
    """The policy, when there are no errors."""

    @property
    def ok(self) -> bool:
        """Whether the policy can be used; warnings do not forbid it."""
        return not self.errors


def check_file(path: Path | str) -> Report:
    """Checks a file and reports every error and every lint.

    Raises:
        PolicyError: the file is not there or cannot be opened.
    """
    path = Path(path)
    return _report(str(path), *read_tree(path))


def check_text(text: str, name: str = "policy.yaml") -> Report:
    """Checks a text that is in no file, such as one that is being edited.

    Args:
        text: the policy; it stands by itself, so that ``extends`` is an error.
        name: what problems call the text.

    >>> [p.code for p in check_text("product: tile\\nclases: {}").errors]
    ['E201']
    """
    return _report(name, *read_text(text, name))


def _report(file: str, tree: Node | None, problems: list[Problem]) -> Report:
    if tree is None:
        return Report(file, _in_order(problems))
    document, found = document_of(tree)
    problems += found
    if document is not None:
        problems += _elsewhere(errors_of(document, tree), found)
    if problems or document is None:
        return Report(file, _in_order(problems))
    policy = ResolvedPolicy(document)
    warnings, silenced = lints_of(policy, tree)
    return Report(file, (), _in_order(warnings), _in_order(silenced), policy)


def _elsewhere(later: list[Problem], found: list[Problem]) -> list[Problem]:
    """The problems of meaning that do not stand where the form is wrong already."""
    broken = {problem.at for problem in found if problem.at}
    return [
        p
        for p in later
        if not any(p.at == b or p.at.startswith((f"{b}.", f"{b}[")) for b in broken)
    ]


def load_policy(path: Path | str) -> ResolvedPolicy:
    """Read, check and resolve one product's file.

    Raises:
        InvalidPolicyError: with every problem of the file.
        PolicyError: the file cannot be read.

    >>> load_policy("policies/products/textile.yaml").product_id
    'textile'
    """
    report = check_file(path)
    if report.policy is None:
        raise InvalidPolicyError(report.errors)
    return report.policy


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda p: (p.file, p.line, p.column, p.code)))
