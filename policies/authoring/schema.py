"""The published JSON Schema and the reference text: both are made from the model."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from policies.authoring.lints import LINTS
from policies.conditions.variables import OF_A_VERDICT, VARIABLES, Variable
from policies.model import PolicyDocument

SCHEMA_ID = "https://andon.dev/schemas/policy-1.json"
SCHEMA_FILE = Path(__file__).parents[1] / "schema.json"
REFERENCE_FILE = Path(__file__).parents[2] / "docs" / "policies" / "reference.md"
ERRORS: dict[str, str] = {
    "E101": "the file is not UTF-8",
    "E102": "the file is larger than 128 KiB, or has more than 12,000 values",
    "E103": "the file is not YAML, or not one mapping",
    "E104": "a line is indented with a tab, or has one where YAML takes none",
    "E105": "a key is given twice",
    "E106": "a YAML tag",
    "E107": "a YAML anchor or alias",
    "E108": "nested too deeply",
    "E109": "`extends` names no base, itself, or a file that extends again",
    "E201": "an unknown key",
    "E202": "a key is missing",
    "E203": "a value of the wrong type, out of range, or not among the words allowed",
    "E301": "a condition that does not hold together: syntax, names, types, units",
    "E303": "a class that the policy does not have",
    "E305": "millimetres without a scale",
    "E306": "a name used twice",
    "E307": "two classes with one number, or alike but for case, blanks or look-alike letters",
    "E308": "a class named `normal` or `unknown`",
    "E309": "a zone outside the image or without area",
    "E310": "an unknown timezone, or a shift without length",
    "E311": "a limit that can never be exceeded",
    "E312": "certified passing, and a way around it",
    "E313": "a product or class with blanks around it, invisible characters, or too long a name",
}


class SchemaNode(BaseModel):
    """The part of a JSON Schema that the reference page and the completion read."""

    ref: str = Field("", alias="$ref")
    defs: dict[str, "SchemaNode"] = Field({}, alias="$defs")
    properties: dict[str, "SchemaNode"] = {}
    required: tuple[str, ...] = ()
    description: str = ""
    default: object = None
    type: str = "value"
    enum: tuple[str, ...] = ()
    const: object = None
    any_of: tuple["SchemaNode", ...] = Field((), alias="anyOf")
    items: "SchemaNode | None" = None
    prefix_items: tuple["SchemaNode", ...] = Field((), alias="prefixItems")
    named: dict[str, "SchemaNode"] = Field({}, alias="patternProperties")
    minimum: float | None = None
    above: float | None = Field(None, alias="exclusiveMinimum")
    maximum: float | None = None
    longest: int | None = Field(None, alias="maxLength")


def json_schema() -> dict[str, object]:
    """The schema of a policy file (draft 2020-12), for editors. A base file needs no product."""
    schema = PolicyDocument.model_json_schema(mode="validation")
    schema["properties"] = {
        "extends": {
            "description": "Base file in the same folder; this file's keys go on top of it.",
            "pattern": r"^[^/\\]+\.yaml$",
            "type": "string",
        },
        **schema["properties"],
    }
    for definition in (schema, *schema.get("$defs", {}).values()):
        required = definition.pop("required", None)
        if required and definition is not schema:
            definition["required"] = required
        definition.pop("title", None)
        for entry in definition.get("properties", {}).values():
            entry.pop("title", None)
            if "patternProperties" in entry:
                entry["additionalProperties"] = False
    title = "Andon policy"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID} | {
        **schema,
        "title": title,
    }


def schema_text() -> str:
    """The text of the schema as it is published."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """The reference page: every key, every name of a condition, every error and lint."""
    schema = SchemaNode.model_validate(json_schema())
    parts = [
        "# Policy reference",
        "Made from the model by `andon policy schema --write`; do not edit by hand.",
        "## A policy file",
        _keys(schema, schema),
    ]
    for name, definition in schema.defs.items():
        if definition.properties:
            anchor = f'<a id="{name.lower()}"></a>'
            parts += [f"### {anchor}{name}", definition.description]
            parts.append(_keys(definition, schema))
    parts += ["## Names in a condition", _variables(VARIABLES)]
    parts += ["## Further names in a condition over shots", _variables(OF_A_VERDICT)]
    parts += ["## Operators in a condition", _OPERATORS]
    parts += ["## Errors", _table(("code", ""), ERRORS.items())]
    parts += ["## Lints", _table(("code", ""), LINTS.items())]
    return "\n\n".join(parts) + "\n"


_OPERATORS = """\
`&&` `||` `!`, `==` `!=` `<` `<=` `>` `>=`, `in ['a', 'b']`, `+ - *`, `/` by a number above 0,
`.startsWith('A')`, `.endsWith('A')`, `.contains('A')`, parentheses. Numbers carry no unit: the
name does (`area_mm2`). A condition has at most 500 characters and 200 parts; there are no loops, no
functions and no string building, so that its cost is at most one visit per part."""


def _keys(definition: SchemaNode, schema: SchemaNode) -> str:
    rows = []
    for key, entry in definition.properties.items():
        required = key in definition.required or key == "product"
        text = " ".join(entry.description.replace("``", "`").split())
        default = "required" if required else _default(entry.default)
        rows.append((f"`{key}`", _kind(entry, schema), default, text))
    return _table(("key", "value", "default", ""), rows)


def _default(value: object) -> str:
    if value in (None, "", [], {}):
        return ""
    return f"`{json.dumps(value)}`" if not isinstance(value, dict) else "see there"


def _kind(entry: SchemaNode, schema: SchemaNode) -> str:
    if entry.ref:
        name = entry.ref.rsplit("/", 1)[-1]
        definition = schema.defs[name]
        return _kind(definition, schema) if definition.enum else f"[{name}](#{name.lower()})"
    if entry.any_of:
        return " or ".join(_kind(e, schema) for e in entry.any_of if e.type != "null")
    if entry.enum:
        return ", ".join(f"`{word}`" for word in entry.enum)
    if entry.const is not None:
        return f"`{entry.const}`"
    if entry.type == "array":
        return "list of " + _kind(entry.items or entry.prefix_items[0], schema)
    if entry.type == "object":
        return "name → " + _kind(next(iter(entry.named.values())), schema)
    return entry.type + _bounds(entry)


def _bounds(entry: SchemaNode) -> str:
    low = entry.above if entry.minimum is None else entry.minimum
    if low is not None and entry.maximum is not None:
        return f", {'above ' if entry.minimum is None else ''}{low:g} to {entry.maximum:g}"
    return f", at most {entry.longest} characters" if entry.longest is not None else ""


def _variables(variables: Mapping[str, Variable]) -> str:
    rows = []
    for name, variable in variables.items():
        unit = f", {variable.unit}" if variable.unit else ""
        kind = "text" if variable.kind is str else f"number{unit}"
        rows.append((f"`{name}`", kind, variable.meaning))
    return _table(("name", "type", ""), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ("| " + " | ".join(cells) + " |" for cells in rows)
    title = "|" + "|".join(f" {cell} " if cell else " " for cell in head) + "|"
    return "\n".join((title, "|---" * len(head) + "|", *lines))
