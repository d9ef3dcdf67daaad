"""Errors in the shape of the real API."""

from typing import Any


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
        self.body: dict[str, Any] = {
            "error": {"message": message, "type": kind, "param": param, "code": code}
        }
        self.headers = headers or {}


def invalid(message: str, param: str, code: str | None = None) -> ApiError:
    """HTTP 400 for a field of the request."""
    return ApiError(400, message, param=param, code=code)
