"""The subset of JSON Schema that strict structured output takes (OpenAI's published rules)."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from lab.llm_twin.errors import ApiError, invalid, refused

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


class Strict(BaseModel):
    """An object of the protocol: no value is converted, no unknown field is passed over."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Plain(Strict):
    type: Literal["text", "json_object"]


class _Named(Strict):
    name: str = Field(pattern="^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, JsonValue] = Field(alias="schema")
    strict: bool | None = None


class _Structured(Strict):
    type: Literal["json_schema"]
    json_schema: _Named


_FORMAT: Final = TypeAdapter[_Plain | _Structured](
    Annotated[_Plain | _Structured, Field(discriminator="type")]
)


def check_response_format(value: object) -> dict[str, JsonValue] | None:
    """The schema of a ``json_schema`` response format, or None for text and JSON mode.

    Raises:
        ApiError: 400 with the rule that is broken, as the real API words it.
    """
    if value is None:
        return None
    try:
        asked = _FORMAT.validate_python(value)
    except ValidationError as error:
        raise refused(error, PARAM) from error
    if isinstance(asked, _Plain):
        return None
    name, schema = asked.json_schema.name, asked.json_schema.schema_
    if asked.json_schema.strict:
        if schema.get("type") != "object":
            raise _Checked(name).bad("schema must be a JSON Schema of 'type: \"object\"'", ())
        _Checked(name).check(schema, ())
    return schema


@dataclass
class _Checked:
    """A schema on its way through the rules, with counts over the whole of it."""

    name: str
    properties: int = 0
    enum: int = 0
    characters: int = 0

    def check(self, schema: JsonValue, path: tuple[str, ...]) -> None:
        if not isinstance(schema, dict):
            raise self.bad("is not a schema object", path)
        if len(path) > 2 * MAX_DEPTH:
            raise self.bad(f"exceeds {MAX_DEPTH} levels of nesting", path)
        for keyword in _UNSUPPORTED & schema.keys():
            raise self.bad(f"'{keyword}' is not permitted", path)
        branches = schema.get("anyOf")
        for branch in branches if isinstance(branches, list) else ():
            self.check(branch, (*path, "anyOf"))
        if "enum" in schema:
            self._check_enum(schema["enum"], path)
        types = schema.get("type")
        listed = types if isinstance(types, list) else [types]
        if types is None and not {"anyOf", "enum", "const", "$ref"} & schema.keys():
            raise self.bad("schema must have a 'type' key", path)
        if types is not None and not all(isinstance(t, str) and t in _TYPES for t in listed):
            raise self.bad(f"{types!r} is not a valid type", path)
        if "object" in listed:
            self._check_object(schema, path)
        if "array" in listed:
            if "items" not in schema:
                raise self.bad("array schema missing items", path)
            self.check(schema["items"], (*path, "items"))

    def _check_object(self, schema: dict[str, JsonValue], path: tuple[str, ...]) -> None:
        properties, required = schema.get("properties"), schema.get("required")
        if schema.get("additionalProperties") is not False:
            words = "'additionalProperties' is required to be supplied and to be false"
            raise self.bad(words, path)
        if not isinstance(properties, dict):
            raise self.bad("object schema missing properties", path)
        if not isinstance(required, list) or set(map(str, required)) != set(properties):
            raise self.bad(
                "'required' is required to be supplied and to be an array including every key in "
                "properties",
                path,
            )
        self.properties += len(properties)
        self.characters += sum(map(len, properties))
        if self.properties > MAX_PROPERTIES:
            raise self.bad(f"more than {MAX_PROPERTIES} properties", path)
        for key, child in properties.items():
            self.check(child, (*path, "properties", key))

    def _check_enum(self, values: JsonValue, path: tuple[str, ...]) -> None:
        if not isinstance(values, list) or not values:
            raise self.bad("enum must be a non-empty array", path)
        if len(set(map(repr, values))) != len(values):
            raise self.bad("enum values must be unique", path)
        self.enum += len(values)
        characters = sum(len(v) for v in values if isinstance(v, str))
        self.characters += characters
        if self.enum > MAX_ENUM:
            raise self.bad(f"more than {MAX_ENUM} enum values", path)
        if len(values) > 250 and characters > 15_000:
            raise self.bad("enum of more than 250 values exceeds 15000 characters", path)
        if self.characters > MAX_NAMES:
            raise self.bad(f"names and enum values exceed {MAX_NAMES} characters", path)

    def bad(self, problem: str, path: tuple[str, ...]) -> ApiError:
        where = "(" + ", ".join(map(repr, path)) + ")"
        words = f"Invalid schema for response_format '{self.name}': In context={where}, {problem}."
        return invalid(words, PARAM)
