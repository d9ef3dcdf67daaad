"""Answers in the shape of the real API: choices, tokens with log-probabilities, usage."""

import json
import math
import re
from typing import Literal

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionMessage, ChatCompletionTokenLogprob
from openai.types.chat.chat_completion import Choice, ChoiceLogprobs
from openai.types.chat.chat_completion_token_logprob import TopLogprob

from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.responders import Opinion
from lab.llm_twin.validation import ChatRequest

Finish = Literal["stop", "length", "content_filter"]
_TOKEN = re.compile(r'\{"|"\}|":\s?"|[A-Za-z]{1,5}|\s?[^\sA-Za-z"]|\s|"')
MEGABYTE = 1 << 20


def completion(
    request: ChatRequest, opinion: Opinion, behaviour: Behaviour, identity: str, created: int
) -> ChatCompletion:
    """An answer in OpenAI's own type, or the rubbish that was asked for."""
    text, finish, refusal = _message(request, opinion, behaviour)
    pieces = tokenize(text) if len(text) < 4096 else [text]
    if request.max_tokens is not None and len(pieces) > request.max_tokens:
        pieces, finish = pieces[: request.max_tokens], "length"
        text = "".join(pieces)
    logprobs = None
    if request.logprobs and behaviour.logprobs and not refusal:
        logprobs = ChoiceLogprobs(
            content=_logprobs(pieces, opinion, request.top_logprobs), refusal=None
        )
    message = ChatCompletionMessage(role="assistant", content=text or None, refusal=refusal)
    choice = Choice(index=0, message=message, finish_reason=finish, logprobs=logprobs)
    return ChatCompletion(
        id=identity,
        object="chat.completion",
        created=created,
        model=request.model,
        choices=[] if behaviour.rubbish == "no_choices" else [choice],
        usage=CompletionUsage(
            prompt_tokens=request.prompt_tokens,
            completion_tokens=len(pieces),
            total_tokens=request.prompt_tokens + len(pieces),
        ),
    )


def tokenize(text: str) -> list[str]:
    """A plain tokenizer: short pieces that join to the text again.

    >>> tokenize('{"class": "gas pore"}')
    ['{"', 'class', '": "', 'gas', ' ', 'pore', '"}']
    """
    return _TOKEN.findall(text)


def _message(
    request: ChatRequest, opinion: Opinion, behaviour: Behaviour
) -> tuple[str, Finish, str | None]:
    """Text, reason of its end, and refusal."""
    field = next(iter(request.properties), "class")
    choice, rubbish = opinion.choice, behaviour.rubbish
    answer = json.dumps({field: behaviour.obeys_pictures or choice}, ensure_ascii=False)
    if rubbish == "refusal":
        return "", "stop", "I'm sorry, I can't assist with that request."
    if rubbish == "content_filter":
        return "", "content_filter", None
    if rubbish == "only_reasoning" and (request.max_tokens or 4096) < 1000:
        return "", "length", None
    if rubbish == "truncation":
        return answer[: len(answer) // 2], "length", None
    instead = {
        "not_json": f"The anomaly is {choice}.",
        "wrong_schema": json.dumps({"anomaly": [choice]}),
        "unlisted": json.dumps({field: "pass"}),
        "empty": "",
        "megabyte": json.dumps({field: choice + "!" * MEGABYTE}),
        "deep_json": "[" * 4_000,
        "reasoning": f"<think>It is long, or {{}}.</think>\n\n{answer}",
        "reasoning_unopened": f"It is long.</think>{answer}",
        "fenced": f"```json\n{answer}\n```",
    }
    return instead.get(rubbish, answer), "stop", None


def _logprobs(pieces: list[str], opinion: Opinion, top: int) -> list[ChatCompletionTokenLogprob]:
    """The first token of the choice carries its probability; the rest is certain."""
    quoted = json.dumps(opinion.choice, ensure_ascii=False)[1:-1]
    start = "".join(pieces).rfind(quoted)
    entries, at = [], 0
    for piece in pieces:
        decides = at <= start < at + len(piece)
        share = opinion.probabilities.get(opinion.choice, 1.0) if decides else 1.0
        others = _top(piece, start - at, opinion, top) if decides else [_entry(piece, 1.0)][:top]
        own = _entry(piece, share).model_dump()
        entries.append(ChatCompletionTokenLogprob(**own, top_logprobs=others))
        at += len(piece)
    return entries


def _top(piece: str, lead: int, opinion: Opinion, top: int) -> list[TopLogprob]:
    """First tokens of the choices by probability; choices that begin alike share a token."""
    shares: dict[str, float] = {}
    for name, share in opinion.probabilities.items():
        quoted = json.dumps(name, ensure_ascii=False)[1:-1]
        first = piece if name == opinion.choice else piece[:lead] + tokenize(quoted)[0]
        shares[first] = shares.get(first, 0.0) + share
    ranked = sorted(shares.items(), key=lambda item: -item[1])[:top]
    return [_entry(token, share) for token, share in ranked]


def _entry(token: str, share: float) -> TopLogprob:
    logprob = math.log(min(max(share, 1e-9), 1.0))
    return TopLogprob(token=token, logprob=logprob, bytes=list(token.encode()))
