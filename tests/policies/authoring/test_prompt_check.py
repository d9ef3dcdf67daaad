"""A text is checked as the file that has it, up to the language model's prompt."""

from dataclasses import replace
from pathlib import Path

import pytest

from policies.authoring.prompt_check import check_text_with_prompt, check_with_prompt

FULL = (Path(__file__).parents[1] / "full.yaml").read_text("utf-8")
TEXTS = {
    "whole": FULL,
    "empty": "",
    "list": "- a\n",
    "tab": "\tproduct: tile\n",
    "cut": FULL[: len(FULL) // 2],
    "key": FULL.replace("severity", "severty", 1),
    "condition": FULL + "\nrules: [{name: a, when: clas == 'x', action: hold}]\n",
    "alike": "product: tile\nclasses:\n"
    "  a: {severity: defect, action: hold, display_name: Hole}\n"
    "  b: {severity: defect, action: hold, display_name: hole.}\n",
    "large": "product: tile\nstrategy: " + "long " * 30_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_is_checked_as_its_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tile.yaml"
    path.write_text(text, "utf-8")
    of_file, of_text = check_with_prompt(path), check_text_with_prompt(text, str(path))
    assert replace(of_text, policy=None) == replace(of_file, policy=None)
    assert (of_text.policy is None) == (of_file.policy is None)
    if of_text.policy and of_file.policy:
        assert of_text.policy.policy_hash == of_file.policy.policy_hash


def test_every_kind_of_mistake_is_among_them() -> None:
    found = {p.code for text in TEXTS.values() for p in check_text_with_prompt(text).errors}
    assert {"E102", "E103", "E104", "E201", "E401"} <= found


def test_a_text_has_no_base() -> None:
    (problem,) = check_text_with_prompt("extends: _base.yaml\nproduct: tile\n").errors
    assert (problem.code, problem.line) == ("E109", 1)


def test_half_a_character_is_no_reason_to_fail() -> None:
    assert check_text_with_prompt("product: ti\ud800le").policy is not None
