"""The subset of JSON Schema that strict structured output takes (OpenAI's published rules)."""

from typing import Any, Final

from lab.llm_twin.errors import invalid

PARAM: Final = "response_format"
MAX_DEPTH: Final = 10
MAX_PROPERTIES: Final = 5000
MAX_ENUM: Final = 1000
MAX_NAMES: Final = 120_000
"""Characters of all property names and enumeration values together."""
_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_UNSUPPORTED: Final = frozenset(
    {"allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "oneOf"}
)


def check_response_format(value: Any) -> dict[str, Any] | None:
    """The schema of a ``json_schema`` response format, or None for text and JSON mode.

    Raises:
        ApiError: 400 with the rule that is broken, as the real API words it.
    """
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("type") not in (
        "text",
        "json_object",
        "json_schema",
    ):
        raise invalid("Invalid value for 'response_format.type'.", f"{PARAM}.type")
    if value["type"] != "json_schema":
        _only(value, {"type"}, PARAM)
        return None
    _only(value, {"type", "json_schema"}, PARAM)
    wrapper = value.get("json_schema")
    if not isinstance(wrapper, dict):
        raise invalid("Missing required parameter: 'response_format.json_schema'.", PARAM)
    _only(wrapper, {"name", "description", "schema", "strict"}, f"{PARAM}.json_schema")
    name = wrapper.get("name")
    if not isinstance(name, str) or not _is_name(name):
        raise invalid(
            "Invalid 'response_format.json_schema.name': expected ^[a-zA-Z0-9_-]{1,64}$.",
            f"{PARAM}.json_schema.name",
        )
    schema = wrapper.get("schema")
    if not isinstance(schema, dict):
        raise invalid("Missing required parameter: 'schema'.", f"{PARAM}.json_schema.schema")
    if wrapper.get("strict") is True:
        if schema.get("type") != "object":
            raise _bad(name, "schema must be a JSON Schema of 'type: \"object\"'", ())
        _check(schema, name, (), _Totals())
    return schema


class _Totals:
    """Counts over the whole schema."""

    def __init__(self) -> None:
        self.properties = 0
        self.enum = 0
        self.characters = 0


def _check(schema: Any, name: str, path: tuple[str, ...], totals: _Totals) -> None:
    if not isinstance(schema, dict):
        raise _bad(name, "is not a schema object", path)
    if len(path) > 2 * MAX_DEPTH:
        raise _bad(name, f"exceeds {MAX_DEPTH} levels of nesting", path)
    for keyword in _UNSUPPORTED & schema.keys():
        raise _bad(name, f"'{keyword}' is not permitted", path)
    for branch in schema.get("anyOf", ()):
        _check(branch, name, (*path, "anyOf"), totals)
    _check_enum(schema, name, path, totals)
    types = schema.get("type")
    listed = types if isinstance(types, list) else [types]
    if types is None and not {"anyOf", "enum", "const", "$ref"} & schema.keys():
        raise _bad(name, "schema must have a 'type' key", path)
    if types is not None and not set(listed) <= _TYPES:
        raise _bad(name, f"{types!r} is not a valid type", path)
    if "object" in listed:
        _check_object(schema, name, path, totals)
    if "array" in listed:
        if "items" not in schema:
            raise _bad(name, "array schema missing items", path)
        _check(schema["items"], name, (*path, "items"), totals)


def _check_object(
    schema: dict[str, Any], name: str, path: tuple[str, ...], totals: _Totals
) -> None:
    if schema.get("additionalProperties") is not False:
        raise _bad(name, "'additionalProperties' is required to be supplied and to be false", path)
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        raise _bad(name, "object schema missing properties", path)
    required = schema.get("required")
    if not isinstance(required, list) or set(required) != set(properties):
        raise _bad(
            name,
            "'required' is required to be supplied and to be an array including every key in "
            "properties",
            path,
        )
    totals.properties += len(properties)
    totals.characters += sum(map(len, properties))
    if totals.properties > MAX_PROPERTIES:
        raise _bad(name, f"more than {MAX_PROPERTIES} properties", path)
    for key, child in properties.items():
        _check(child, name, (*path, "properties", key), totals)


def _check_enum(schema: dict[str, Any], name: str, path: tuple[str, ...], totals: _Totals) -> None:
    if "enum" not in schema:
        return
    values = schema["enum"]
    if not isinstance(values, list) or not values:
        raise _bad(name, "enum must be a non-empty array", path)
    if len({repr(v) for v in values}) != len(values):
        raise _bad(name, "enum values must be unique", path)
    totals.enum += len(values)
    characters = sum(len(v) for v in values if isinstance(v, str))
    totals.characters += characters
    if totals.enum > MAX_ENUM:
        raise _bad(name, f"more than {MAX_ENUM} enum values", path)
    if len(values) > 250 and characters > 15_000:
        raise _bad(name, "enum of more than 250 values exceeds 15000 characters", path)
    if totals.characters > MAX_NAMES:
        raise _bad(name, f"names and enum values exceed {MAX_NAMES} characters", path)


def _bad(name: str, problem: str, path: tuple[str, ...]) -> Exception:
    where = "(" + ", ".join(repr(p) for p in path) + ")"
    return invalid(
        f"Invalid schema for response_format '{name}': In context={where}, {problem}.", PARAM
    )


def _only(value: dict[str, Any], allowed: set[str], where: str) -> None:
    for key in value.keys() - allowed:
        raise invalid(f"Unknown parameter: '{where}.{key}'.", f"{where}.{key}", "unknown_parameter")


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
