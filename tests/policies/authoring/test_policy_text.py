"""A policy that is written out is read back as the same policy."""

from pathlib import Path

import pytest

from policies.authoring.loading import check_text, load_policy
from policies.authoring.policy_text import text_of

ROOT = Path(__file__).parents[3]
FILES = [
    *sorted((ROOT / "policies" / "products").glob("[!_]*.yaml")),
    ROOT / "tests/policies/full.yaml",
]
ODD = """\
product: "a: b #1"
strategy: "  two\\n\\nlines: with a long text that goes on and on and on and on and on "
normal: {description: "ends with a blank, and is so long that it would be folded if it could "}
classes:
  "no": {severity: defect, action: hold, description: "yes", display_name: "12"}
  "null": {severity: defect, action: scrap}
  "1": {severity: defect, action: scrap}
  edge chip: {severity: normal, action: pass}
limits:
  many: {more_than: 3, in_parts: 50, classes: [edge chip, "1"], action: [scrap]}
golden: {"0012": {action: [pass]}}
"""


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_written_out_is_the_same_policy(path: Path) -> None:
    policy = load_policy(path)
    report = check_text(text_of(policy))
    assert report.policy is not None, report.errors
    assert report.policy.policy_hash == policy.policy_hash


def test_names_that_yaml_would_take_for_something_else() -> None:
    policy = check_text(ODD).policy
    assert policy is not None
    again = check_text(text_of(policy))
    assert again.policy is not None, again.errors
    assert again.policy.policy_hash == policy.policy_hash


def test_what_is_so_by_default_is_not_written() -> None:
    policy = check_text("product: tile\nclasses: {pit: {severity: defect, action: hold}}").policy
    assert policy is not None
    assert "fallbacks" not in text_of(policy)
