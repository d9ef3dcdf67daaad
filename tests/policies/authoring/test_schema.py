"""The published schema says what the validator says; the published files are not out of date."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from policies.authoring import policy_file, schema_check, semantic_check, yaml_tree
from policies.authoring.schema import (
    ERRORS,
    REFERENCE_FILE,
    SCHEMA_FILE,
    json_schema,
    reference,
    schema_text,
)
from tests.policies.authoring.test_validator import BROKEN

FILES = [*sorted(Path("policies/products").glob("*.yaml")), Path(__file__).parents[1] / "full.yaml"]


def data(text: str) -> Any:
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


def test_published_files_are_current() -> None:
    hint = "run `andon policy schema --write`"
    assert SCHEMA_FILE.read_text() == schema_text(), hint
    assert REFERENCE_FILE.read_text() == reference(), hint


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_good_files_pass_it(path: Path) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(data(path.read_text()))


FORM = [case for case in BROKEN if case[3] in ("E201", "E202", "E203")]


@pytest.mark.parametrize("text", [c[1] for c in FORM if c[0] != "missing product"],
                         ids=[c[0] for c in FORM if c[0] != "missing product"])  # fmt: skip
def test_faults_of_form_fail_in_the_editor_too(text: str) -> None:
    """A product may be missing there: a base file needs none."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema()).validate(data(text))


def test_every_error_code_is_in_the_reference() -> None:
    sources = (policy_file, schema_check, semantic_check, yaml_tree)
    used = {
        code
        for module in sources
        for code in re.findall(r'"(E\d{3})"', Path(str(module.__file__)).read_text())
    }
    assert used == set(ERRORS)
