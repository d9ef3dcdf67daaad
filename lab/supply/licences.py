"""Which licences may be installed: a list of SPDX identifiers, and packages one by one. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import yaml
from license_expression import ExpressionError, Licensing
from pydantic import ValidationError

from lab.supply.bom import CONCLUDED, Component, LicenceChoice, SupplyError
from streams.settings import Section

RULES: Final = Path(__file__).with_name("licences.yaml")
ALLOWED, ONE_BY_ONE, REFUSED = "allowed", "one by one", "refused"
_SPDX: Final = Licensing()


class PackageRule(Section):
    """A package that is allowed by its name."""

    name: str
    """The distribution's name; ``*`` stands for any letters."""
    declares: str | None = None
    """What its metadata say, as an SPDX expression; None where they say nothing."""
    licence: str | None = None
    """What holds, where that is not what it declares."""
    because: str

    @property
    def holds(self) -> str:
        """The licence as an SPDX expression."""
        return self.licence or self.declares or ""


class LicenceRules(Section):
    """What may be installed."""

    allowed: frozenset[str]
    names: Mapping[str, str]
    packages: Sequence[PackageRule]

    def package(self, name: str) -> PackageRule | None:
        """The rule for a package by its own name, else by a pattern."""
        found = [rule for rule in self.packages if fnmatch(_normal(name), rule.name)]
        return min(found, key=lambda rule: "*" in rule.name, default=None)


@dataclass(frozen=True)
class LicenceFound:
    """One package's licence, and what became of it."""

    package: str
    version: str
    licence: str
    """An SPDX expression, or what the metadata say; empty where nobody says anything."""
    verdict: str
    because: str = ""


def read_rules() -> LicenceRules:
    """The rules of ``licences.yaml``.

    Raises:
        SupplyError: it is not such a file.
    """
    try:
        return LicenceRules.model_validate(yaml.safe_load(RULES.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise SupplyError(f"{RULES}: {error}") from error


def declared(component: Component, names: Mapping[str, str]) -> str:
    """What a package's metadata say, as one expression; empty where they say nothing.

    Several statements hold together: a classifier beside an identifier may name a part of it.
    """
    said = [s for s in dict.fromkeys(names.get(text, text) for text in component.declared) if s]
    several = len(said) > 1
    return " AND ".join(f"({s})" if several and " OR " in s else s for s in said)


def judge(component: Component, rules: LicenceRules) -> LicenceFound:
    """Whether a package may be installed."""
    said = declared(component, rules.names)
    rule = rules.package(component.name)
    if rule is not None and said == (rule.declares or ""):
        return _found(component, rule.holds, ONE_BY_ONE, rule.because)
    if not said:
        return _found(component, "", REFUSED, "its metadata name no licence")
    if satisfied(said, rules.allowed):
        return _found(component, said, ALLOWED)
    if rule is not None:
        expected = rule.declares or "nothing"
        return _found(component, said, REFUSED, f"it declared {expected} when it was allowed")
    return _found(component, said, REFUSED, "not on the list")


def _found(component: Component, licence: str, verdict: str, why: str = "") -> LicenceFound:
    return LicenceFound(component.name, component.version, licence, verdict, why)


def satisfied(expression: str, allowed: Iterable[str]) -> bool:
    """Whether an SPDX expression can be met by the licences of a list.

    >>> satisfied("MIT OR GPL-3.0-only", ["MIT"]), satisfied("MIT AND GPL-3.0-only", ["MIT"])
    (True, False)
    """
    try:
        parsed = _SPDX.parse(expression)
    except ExpressionError:
        return expression in set(allowed)
    return parsed is not None and _met(parsed, frozenset(allowed))


def _met(node: object, allowed: frozenset[str]) -> bool:
    if isinstance(node, _SPDX.AND):
        return all(_met(part, allowed) for part in node.args)
    if isinstance(node, _SPDX.OR):
        return any(_met(part, allowed) for part in node.args)
    return str(node) in allowed


def with_concluded(component: Component, rules: LicenceRules) -> Component:
    """The component with the licence that is known of it, where its metadata name none."""
    rule = rules.package(component.name)
    if component.declared or rule is None:
        return component
    choice = LicenceChoice(expression=rule.holds, acknowledgement=CONCLUDED)
    return component.model_copy(update={"licenses": [choice]})


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
