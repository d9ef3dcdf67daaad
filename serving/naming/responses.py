"""Reads whatever comes back with HTTP status 200: an answer, an error in disguise, or neither."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from serving.naming.answers import RawAnswer, Token, UnknownReason
from serving.naming.calls import CallProblem, Completion, Failed
from serving.naming.failures import failure_of
from serving.naming.refusals import Refusal, encodable, is_markup, refusal_of, refusal_of_text

T = TypeVar("T")
_OTHER_INTERFACES: Final = (
    ("candidates", "Gemini's own interface; base_url ends in /v1beta/openai"),
    ("stop_reason", "Anthropic's own interface; base_url ends in /v1"),
    ("done", "Ollama's own interface; base_url ends in /v1"),
    ("output", "the Responses interface; Andon speaks Chat Completions"),
    ("generated_text", "a text-generation interface; base_url ends in /v1"),
)
"""Fields by which an answer of another interface is known."""


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


Tolerant = Annotated[T | None, WrapValidator(_or_none)]
"""A field of a response that servers get wrong: what cannot be read is None."""


class _Piece(BaseModel):
    logprob: Annotated[float, Field(ge=-math.inf)]
    token: Tolerant[str] = None
    spelt: Tolerant[list[Annotated[int, Field(ge=0, le=255)]]] = Field(None, alias="bytes")

    @model_validator(mode="after")
    def _is_spelt(self) -> Self:
        if self.spelt is None and self.token is None:
            raise ValueError("neither bytes nor text")
        return self

    def read(self) -> tuple[bytes, float]:
        """What was generated, and its log-probability."""
        data = (self.token or "").encode("utf-8", "replace")
        return (data if self.spelt is None else bytes(self.spelt)), self.logprob


class _Token(_Piece):
    top_logprobs: Tolerant[list[Tolerant[_Piece]]] = None

    def read_all(self) -> Token:
        """The token with those that might have stood in its place."""
        return Token(*self.read(), tuple(p.read() for p in self.top_logprobs or () if p))


class _Logprobs(BaseModel):
    content: Annotated[list[_Token], Field(min_length=1)]


def _joined_parts(content: object) -> object:
    """The text of content that comes in parts; reasoning among them is left out."""
    if not isinstance(content, list):
        return content
    parts = [p for p in content if isinstance(p, Mapping)]
    texts = [p.get("text") for p in parts if p.get("type", "text") in ("text", "output_text")]
    return "".join(t for t in texts if isinstance(t, str))


class _Message(BaseModel):
    content: Annotated[str | None, BeforeValidator(_joined_parts)] = None
    refusal: Tolerant[str] = None
    reasoning_content: Tolerant[str] = None
    reasoning: Tolerant[str] = None

    def said(self, finish_reason: str) -> str:
        """The answer; it stands among the reasoning where a server's parser put it there."""
        if self.content or finish_reason == "length":
            return self.content or ""
        hidden = (self.reasoning_content or self.reasoning or "").strip()
        return hidden if hidden.startswith("{") and hidden.endswith("}") else ""


class _Choice(BaseModel):
    message: _Message
    finish_reason: Tolerant[str] = None
    logprobs: Tolerant[_Logprobs] = None


class _Usage(BaseModel):
    prompt_tokens: Tolerant[Annotated[int, Field(ge=0, lt=10**9)]] = None
    completion_tokens: Tolerant[Annotated[int, Field(ge=0, lt=10**9)]] = None


class _Response(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: Tolerant[_Usage] = None
    model: Tolerant[str] = None


def read_completion(body: bytes, name: str = "llm") -> Completion | Failed:
    """Whatever came back with status 200. Never raises: what cannot be read says so.

    Args:
        body: the response's body, decompressed.
        name: of the endpoint, for messages.
    """
    text = _text(body)
    if not text:
        return _cut(name, "an empty body")
    if text.startswith(("data:", "event:", ":")):
        return _read_document(_assembled(text), text, name)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _not_json(text, name)
    return _read_document(document, text, name)


def unreadable(body: bytes, reason: UnknownReason) -> Completion:
    """A response that gives no answer and whose start is kept."""
    return Completion(RawAnswer(body[:200].decode("utf-8", "replace"), unreadable=reason))


def _text(body: bytes) -> str:
    try:
        return body.decode(json.detect_encoding(body)).lstrip("\ufeff").strip()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").strip()


def _read_document(document: object, text: str, name: str) -> Completion | Failed:
    refusal = _error_in(document)
    if refusal is not None:
        what = f"HTTP 200 with error {refusal.status} in its body"
        return _with_usage(failure_of(refusal, name, what), document)
    try:
        response = _Response.model_validate(document, strict=True)
    except (ValidationError, RecursionError):
        return _no_completion(document, text, name)
    choice, usage = response.choices[0], response.usage or _Usage()
    finish_reason = choice.finish_reason or "stop"
    raw = RawAnswer(
        text=choice.message.said(finish_reason),
        finish_reason=finish_reason,
        refusal=choice.message.refusal or "",
        tokens=tuple(t.read_all() for t in choice.logprobs.content) if choice.logprobs else None,
    )
    model = encodable((response.model or "")[:200])
    return Completion(raw, usage.prompt_tokens, usage.completion_tokens, model)


def _with_usage(found: Completion | Failed, document: object) -> Completion | Failed:
    """An error that came with what was worked until then, as of a generation that broke off."""
    given = document.get("usage") if isinstance(document, Mapping) else None
    try:
        usage = _Usage.model_validate(given, strict=True)
    except (ValidationError, RecursionError):
        return found
    tokens = (usage.prompt_tokens or 0, usage.completion_tokens or 0)
    if isinstance(found, Completion):
        return replace(found, tokens_in=usage.prompt_tokens, tokens_out=usage.completion_tokens)
    return replace(found, billed=True, usage=tokens) if any(tokens) else found


def _error_in(document: object) -> Refusal | None:
    """The error of the whole response, or of its first choice."""
    choices = document.get("choices") if isinstance(document, Mapping) else None
    if not isinstance(choices, list) or not choices:
        return refusal_of(document, 200)
    first = choices[0]
    if not isinstance(first, Mapping):
        return None
    if not first.get("error"):
        return Refusal(502, "the answer ended in an error") if _broke_off(first) else None
    return refusal_of({"error": first["error"]}, 200)


def _broke_off(choice: Mapping[str, object]) -> bool:
    return choice.get("finish_reason") in ("error", "aborted", "abort")


def _no_completion(document: object, text: str, name: str) -> Completion | Failed:
    if isinstance(document, Mapping) and "choices" in document:
        return unreadable(text.encode(), UnknownReason.MALFORMED)
    fields = document if isinstance(document, Mapping) else {}
    known = next((words for field, words in _OTHER_INTERFACES if field in fields), "")
    what = known or f"JSON that is no completion: {text[:120]!r}"
    return Failed(CallProblem.NOT_AN_API, f"{name}: HTTP 200 with {what}", False, True, billed=True)


def _not_json(text: str, name: str) -> Failed | Completion:
    if text[:1] in "{[":
        return _cut(name, f"a body that ends early: {text[:80]!r}")
    refusal = refusal_of_text(text, 200)
    if refusal.status:
        return failure_of(refusal, name, f"HTTP 200 with error {refusal.status} in its body")
    what = "a web page" if is_markup(text) else "no JSON"
    words = f"{name}: HTTP 200 with {what} ({refusal.message[:120]!r}); base_url leads to a login, "
    return Failed(CallProblem.NOT_AN_API, words + "a proxy or another server", False, True)


def _cut(name: str, what: str) -> Failed:
    text = f"{name}: HTTP 200 with {what}"
    return Failed(CallProblem.SERVER_ERROR, text, True, True, billed=True)


def _assembled(text: str) -> object:
    """One completion from the chunks of a stream that nobody asked for."""
    message: dict[str, str] = {}
    choice: dict[str, object] = {"message": message}
    tokens: list[object] = []
    whole: dict[str, object] = {"choices": [choice]}
    for line in text.splitlines():
        try:
            chunk = json.loads(line.removeprefix("data:")) if line.startswith("data:") else None
        except (ValueError, RecursionError):
            continue  # [DONE], or a chunk that was cut
        if not isinstance(chunk, dict):
            continue
        if chunk.get("error"):
            return chunk
        whole |= {k: v for k, v in chunk.items() if k in ("usage", "model") and v}
        given = chunk.get("choices")
        first = given[0] if isinstance(given, list) and given else None
        if not isinstance(first, dict):
            continue
        delta = first.get("delta") or first.get("message")
        for field, piece in delta.items() if isinstance(delta, dict) else ():
            if isinstance(piece, str) and field != "role":
                message[field] = message.get(field, "") + piece
        logprobs = first.get("logprobs")
        if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
            tokens += logprobs["content"]
        choice |= {"finish_reason": first["finish_reason"]} if first.get("finish_reason") else {}
    return whole | {"choices": [choice | ({"logprobs": {"content": tokens}} if tokens else {})]}
