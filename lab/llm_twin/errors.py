"""Errors in the shape of the real API."""

from openai.types.shared import ErrorObject
from pydantic import ValidationError


class ApiError(Exception):
    """Becomes ``{"error": {...}}`` with a status; never leaves the twin as an exception."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        error = ErrorObject(message=message, type=kind, param=param, code=code)
        self.body = {"error": error.model_dump()}
        self.headers = headers or {}


def invalid(message: str, param: str, code: str | None = None) -> ApiError:
    """HTTP 400 for a field of the request."""
    return ApiError(400, message, param=param, code=code)


def refused(error: ValidationError, *within: str) -> ApiError:
    """The first thing that does not fit, as HTTP 400 that names the field."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ""
    before: int | str = ""
    for step in (*within, *first["loc"]):
        if isinstance(before, int) and step in ("text", "image_url"):
            before = ""  # the kind of a part of a message, which is no field
            continue
        where += f"[{step}]" if isinstance(step, int) else f".{step}"
        before = step
    where = where.removeprefix(".")
    if first["type"] == "extra_forbidden":
        return invalid(f"Unknown parameter: '{where}'.", where, "unknown_parameter")
    return invalid(f"Invalid value for '{where}': {first['msg']}.", where, "invalid_value")
