"""A licence is allowed by the list, a package by its own rule, and nothing by silence."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from andon.__main__ import app
from lab.supply.bom import Bill, Component, LicenceChoice, NamedLicence, SupplyError, read_bill
from lab.supply.licences import (
    ALLOWED,
    ONE_BY_ONE,
    REFUSED,
    RULES,
    LicenceRules,
    judge,
    read_rules,
    satisfied,
    with_concluded,
)

RULES_OF_A_TEST = LicenceRules.model_validate(
    {
        "allowed": ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"],
        "names": {"License :: MIT-like": "MIT", "License :: of no kind": ""},
        "packages": [
            {"name": "plc-*", "declares": "LGPL-3.0-or-later", "because": "a library"},
            {"name": "plc-own", "declares": "GPL-3.0-only", "because": "a program"},
            {"name": "weights", "licence": "CC-BY-4.0", "because": "the licence is in its wheel"},
        ],
    }
)


def component(name: str, *stated: str) -> Component:
    """A package that declares licences: expressions by their blanks, names otherwise."""
    choices = [
        LicenceChoice(expression=text)
        if " AND " in text or " OR " in text
        else LicenceChoice(license=NamedLicence(name=text))
        for text in stated
    ]
    return Component(name=name, version="1", licenses=choices)


@pytest.mark.parametrize(
    ("stated", "verdict"),
    [
        (("MIT",), ALLOWED),
        (("MIT", "Apache-2.0"), ALLOWED),
        (("License :: MIT-like",), ALLOWED),
        (("MIT", "License :: of no kind"), ALLOWED),
        (("MIT OR GPL-3.0-only",), ALLOWED),
        (("Apache-2.0 AND (MIT OR GPL-3.0-only)",), ALLOWED),
        (("Apache-2.0 WITH LLVM-exception AND MIT",), ALLOWED),
        (("GPL-3.0-only",), REFUSED),
        (("MIT", "GPL-3.0-only"), REFUSED),
        (("MIT OR Apache-2.0", "GPL-3.0-only"), REFUSED),
        (("MIT AND GPL-3.0-only",), REFUSED),
        (("MIT AND Apache-2.0 WITH another-exception",), REFUSED),
        (("see the file LICENSE (or ask)",), REFUSED),
        (("License :: of no kind",), REFUSED),
        ((), REFUSED),
    ],
)
def test_the_list_decides(stated: tuple[str, ...], verdict: str) -> None:
    assert judge(component("any", *stated), RULES_OF_A_TEST).verdict == verdict


def test_what_is_refused_says_why() -> None:
    assert judge(component("any"), RULES_OF_A_TEST).because == "its metadata name no licence"
    assert judge(component("any", "GPL-3.0-only"), RULES_OF_A_TEST).because == "not on the list"


def test_a_package_is_allowed_by_its_name() -> None:
    found = judge(component("PLC_Client", "LGPL-3.0-or-later"), RULES_OF_A_TEST)
    assert (found.verdict, found.because) == (ONE_BY_ONE, "a library")
    assert judge(component("plc-own", "GPL-3.0-only"), RULES_OF_A_TEST).because == "a program"


def test_a_package_that_changes_its_licence_is_judged_anew() -> None:
    found = judge(component("plc-client", "AGPL-3.0-only"), RULES_OF_A_TEST)
    assert found.verdict == REFUSED
    assert found.because == "it declared LGPL-3.0-or-later when it was allowed"
    assert judge(component("plc-client", "MIT"), RULES_OF_A_TEST).verdict == ALLOWED
    assert judge(component("plc-client"), RULES_OF_A_TEST).verdict == REFUSED


def test_what_is_known_of_a_silent_package_holds() -> None:
    found = judge(component("weights"), RULES_OF_A_TEST)
    assert (found.verdict, found.licence) == (ONE_BY_ONE, "CC-BY-4.0")
    assert judge(component("weights", "SSPL-1.0"), RULES_OF_A_TEST).verdict == REFUSED


def test_the_bill_says_what_is_concluded_of_silent_packages_only() -> None:
    silent = with_concluded(component("weights"), RULES_OF_A_TEST)
    assert [choice.stated for choice in silent.licenses] == ["CC-BY-4.0"]
    assert silent.declared == []
    assert judge(silent, RULES_OF_A_TEST).verdict == ONE_BY_ONE
    declares = component("plc-own", "GPL-3.0-only")
    assert with_concluded(declares, RULES_OF_A_TEST) == declares
    assert with_concluded(component("any"), RULES_OF_A_TEST).licenses == []


def test_an_expression_of_alternatives_needs_one() -> None:
    assert satisfied("(MIT AND X) OR Apache-2.0", ["Apache-2.0"])
    assert not satisfied("(MIT AND X) OR Apache-2.0", ["MIT"])


def test_the_document_keeps_what_is_not_read_here() -> None:
    text = '{"bomFormat":"CycloneDX","components":[{"name":"a","purl":"pkg:pypi/a@1"}]}'
    assert Bill.model_validate_json(read_bill(text).text()) == read_bill(text)
    assert '"purl": "pkg:pypi/a@1"' in read_bill(text).text()
    assert "licenses" not in read_bill(text).text()
    with pytest.raises(SupplyError, match="no CycloneDX document"):
        read_bill("[]")


def test_the_rules_that_ship_are_in_order() -> None:
    rules = read_rules()
    text = yaml.safe_load(RULES.read_text())
    assert text["allowed"] == sorted(text["allowed"])
    names = [rule.name for rule in rules.packages]
    assert len(names) == len(set(names))
    assert all(rule.holds for rule in rules.packages)
    assert not {i for i in rules.allowed if "GPL" in i or "MPL" in i}


def test_a_bill_is_judged_by_the_command(tmp_path: Path) -> None:
    bill = Bill(components=[component("any", "MIT"), component("other", "SSPL-1.0")])
    path = tmp_path / "sbom.cdx.json"
    path.write_text(bill.text())
    done = CliRunner().invoke(app, ["supply", "licences", "--bill", str(path)])
    assert done.exit_code == 1
    assert "2 packages, 1 refused" in done.stdout
    assert "SSPL-1.0" in done.stdout
    path.write_text(Bill(components=[component("any", "MIT")]).text())
    assert CliRunner().invoke(app, ["supply", "licences", "--bill", str(path)]).exit_code == 0
