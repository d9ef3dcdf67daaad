"""What the twin may be told not to accept, and the forms in which servers say so."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lab.llm_twin.errors import ApiError, invalid
from lab.llm_twin.validation import ChatRequest

Style = Literal[
    "openai", "fastapi", "vllm", "mistral", "gemini", "litellm", "openrouter", "in_200", "silent"
]
AnswerForm = Literal["json_schema", "json_object", "text"]


class TwinManners(BaseModel):
    """What the twin accepts of a request; by default everything that the real API does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: bool = True
    tokens_fields: tuple[Literal["max_completion_tokens", "max_tokens"], ...] = (
        "max_completion_tokens",
        "max_tokens",
    )
    forms: tuple[AnswerForm, ...] = ("json_schema", "json_object", "text")
    logprobs: bool = True
    """False: asking for log-probabilities is an error."""
    top_logprobs: bool = True
    detail: bool = True
    system_role: bool = True
    pictures_most: Annotated[int, Field(ge=0)] = 500
    side_most_px: Annotated[int, Field(ge=1)] = 16_384
    body_most: Annotated[int, Field(ge=1)] = 50 << 20
    """Bytes of a request; more is refused by the gateway in front, with a page."""
    refuses_in: Style = "openai"
    """How a refusal is worded and wrapped; ``silent`` names nothing."""

    def check(self, document: dict[str, object], request: ChatRequest) -> None:
        """Refuse what is not accepted.

        Raises:
            ApiError: as the real API words it; :func:`dressed` gives it another form.
        """
        for name in ("max_completion_tokens", "max_tokens"):
            if document.get(name) is not None and name not in self.tokens_fields:
                instead = f" Use '{self.tokens_fields[0]}' instead." if self.tokens_fields else ""
                raise unsupported(name, instead)
        if document.get("temperature") not in (None, 1) and not self.temperature:
            raise unsupported("temperature", " Only the default (1) value is supported.")
        if document.get("logprobs") and not self.logprobs:
            raise unsupported("logprobs")
        if document.get("top_logprobs") and not self.top_logprobs:
            raise unsupported("top_logprobs")
        form = document.get("response_format")
        kind = form.get("type", "text") if isinstance(form, dict) else "text"
        if kind not in self.forms:
            words = f"Invalid parameter: 'response_format' of type '{kind}' is not supported."
            raise invalid(words, "response_format")
        text = json.dumps(document.get("messages"))
        if '"detail":' in text and not self.detail:
            where = "messages[1].content[1].image_url.detail"
            raise invalid(f"Unknown parameter: '{where}'.", where, "unknown_parameter")
        if '"role": "system"' in text and not self.system_role:
            words = "Unsupported value: 'messages[0].role' does not support 'system'."
            raise invalid(words, "messages[0].role", "unsupported_value")
        self._check_pictures(request)

    def _check_pictures(self, request: ChatRequest) -> None:
        if len(request.pictures) > self.pictures_most:
            words = f"At most {self.pictures_most} image(s) may be provided in one prompt."
            raise invalid(words, "messages")
        if any(max(p.pixels.shape[:2]) > self.side_most_px for p in request.pictures):
            words = f"image dimensions exceed the allowed {self.side_most_px} pixels"
            raise invalid(words, "messages", "image_too_large")


def unsupported(name: str, more: str = "") -> ApiError:
    """HTTP 400 for a parameter that a model does not take."""
    words = f"Unsupported parameter: '{name}' is not supported with this model.{more}"
    return invalid(words, name, "unsupported_parameter")


def dressed(error: ApiError, style: Style) -> tuple[int, object]:
    """Status and body of an error as another server words it."""
    inner = error.body["error"]
    message, name = str(inner["message"]), str(inner["param"] or "").split(".")[-1]
    place = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are forbidden"}
    match style:
        case "fastapi":
            return 422, {"detail": [place]}
        case "vllm":
            listed = str([place | {"loc": ("body", name)}])
            return 400, {
                "object": "error",
                "message": listed,
                "type": "BadRequestError",
                "code": 400,
            }
        case "mistral":
            return 422, {"object": "error", "message": {"detail": [place]}, "code": None}
        case "gemini":
            words = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
            return 400, [{"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}]
        case "litellm":
            words = f"litellm.UnsupportedParamsError: openai does not support ['{name}']"
            return 400, {"error": {"message": words, "type": "None", "param": None, "code": "400"}}
        case "openrouter":
            outer: dict[str, object] = {"message": "Provider returned error", "code": 400}
            return 400, {"error": outer | {"metadata": {"raw": json.dumps(error.body)}}}
        case "in_200":
            return 200, {"error": {"message": message, "code": error.status}}
        case "silent":
            return 400, {"error": {"message": "Bad request", "type": "error"}}
    return error.status, error.body
