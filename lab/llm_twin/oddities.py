"""Answers as gateways and servers really send them: in streams, in parts, as pages, cut off."""

import json
from typing import Final, Literal, get_args

from fastapi.responses import JSONResponse, Response
from openai.types.chat import ChatCompletion

Oddity = Literal[
    "html",
    "login_page",
    "gateway_page",
    "gateway_words",
    "huge_body",
    "empty_body",
    "cut_body",
    "bom",
    "stream",
    "parts",
    "reasoning_content",
    "error_429",
    "choice_error",
    "other_interface",
]
ODDITIES: Final = frozenset(get_args(Oddity))
_PAGES: Final = {
    "html": "<html><body>It works!</body></html>",
    "login_page": "<!DOCTYPE html><html><title>Sign in</title></html>",
    "gateway_page": "<html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1></html>",
}
_LIMITED: Final = {"code": 429, "message": "Rate limit exceeded upstream"}


def odd_response(answer: ChatCompletion, oddity: str) -> Response:
    """The answer in an odd form, or what came in its place with status 200."""
    if oddity in _PAGES:
        return Response(_PAGES[oddity], media_type="text/html")
    body = answer.model_dump(mode="json", exclude_unset=True)
    text = json.dumps(body)
    message = body["choices"][0]["message"]
    broken = {
        "gateway_words": "upstream connect error or disconnect/reset before headers",
        "huge_body": "x" * (8 << 20),
        "empty_body": "",
        "cut_body": text[: len(text) // 2],
        "bom": f"\ufeff{text}",
    }
    if oddity in broken:
        return Response(broken[oddity], media_type="application/json")
    match oddity:
        case "stream":
            return Response(_streamed(body), media_type="text/event-stream")
        case "parts":
            message["content"] = [{"type": "text", "text": message["content"]}]
        case "reasoning_content":
            message |= {"reasoning_content": message["content"], "content": None}
        case "error_429":
            body = {"error": _LIMITED}
        case "choice_error":
            body["choices"][0] |= {"finish_reason": "error", "error": _LIMITED | {"code": 502}}
        case "other_interface":
            body = {"model": "twin", "response": message["content"], "done": True}
    return JSONResponse(body)


def _streamed(body: dict[str, object]) -> str:
    """The answer as server-sent events, one a character, as a proxy streams them."""
    choices = body.pop("choices")
    assert isinstance(choices, list)
    content = choices[0]["message"]["content"]
    deltas: list[dict[str, object]] = [{"index": 0, "delta": {"content": c}} for c in content]
    deltas.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [f"data: {json.dumps(body | {'choices': [delta]})}\n\n" for delta in deltas]
    return "".join([*chunks, "data: [DONE]\n\n"])
