"""Bodies that came with HTTP status 200: answers in odd forms, errors, and neither."""

import json
from typing import Any

import pytest

from serving.naming.answers import read_answer
from serving.naming.calls import CallProblem, Completion, Failed
from serving.naming.responses import read_completion

LABELS = {"line": "line", "spot": "spot"}
SAID = json.dumps({"class": "line"})


def body(content: Any = SAID, **changes: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content} | changes.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | changes.pop("choice", {})
    return {"id": "x", "object": "chat.completion", "choices": [choice]} | changes


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], 'model': 'm'})}\n\n"


ANSWERS = {
    "plain": encoded(body()),
    "byte order mark": b"\xef\xbb\xbf" + encoded(body()),
    "keep-alive blanks": b"\n \n" + encoded(body()),
    "utf-16": json.dumps(body()).encode("utf-16"),
    "parts": encoded(body([{"type": "text", "text": SAID}])),
    "parts after reasoning": encoded(
        body([{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": SAID}])
    ),
    "several parts": encoded(
        body([{"type": "text", "text": SAID[:5]}, {"type": "text", "text": SAID[5:]}])
    ),
    "reasoning_content": encoded(body(None, message={"reasoning_content": SAID})),
    "reasoning": encoded(body("", message={"reasoning": f"\n{SAID}\n"})),
    "think": encoded(body(f"<think>{{}} long</think>\n\n{SAID}")),
    "think unopened": encoded(body(f"It is long.</think>{SAID}")),
    "thinking": encoded(body(f"<Thinking>x</Thinking>{SAID}")),
    "reasoning tag": encoded(body(f"<reasoning>x</reasoning> {SAID}")),
    "two thoughts": encoded(body(f"<think>a</think><think>b</think>{SAID}")),
    "kimi": encoded(body(f"◁think▷x◁/think▷{SAID}")),
    "magistral": encoded(body(f"[THINK]x[/THINK]{SAID}")),
    "harmony": encoded(
        body(
            "<|channel|>analysis<|message|>long<|end|><|start|>assistant<|channel|>final"
            f"<|message|>{SAID}<|return|>"
        )
    ),
    "end of turn": encoded(body(f"{SAID}<|im_end|>")),
    "fence": encoded(body(f"```json\n{SAID}\n```")),
    "bare fence": encoded(body(f"```\n{SAID}\n```")),
    "thought, then fence": encoded(body(f"<think>x</think>\n```json\n{SAID}\n```\n")),
    "mark in content": encoded(body("\ufeff" + SAID)),
    "no reason of its end": encoded(body(choice={"finish_reason": None})),
    "error null": encoded(body(error=None)),
    "stream": (
        "".join(chunk({"content": c}) for c in SAID) + chunk({}, "stop") + "data: [DONE]\n\n"
    ).encode(),
    "stream with comments": (": ping\n\n" + chunk({"role": "assistant", "content": SAID})).encode(),
}


@pytest.mark.parametrize("form", ANSWERS)
def test_an_answer_in_an_odd_form_is_read(form: str) -> None:
    completion = read_completion(ANSWERS[form])
    assert isinstance(completion, Completion), completion
    assert read_answer(completion.raw, LABELS).class_name == "line"


LIMITED = {"code": 429, "message": "slow down"}
ERRORS: list[tuple[object, CallProblem, bool]] = [
    ({"error": LIMITED}, CallProblem.RATE_LIMITED, True),
    ({"error": LIMITED, "choices": []}, CallProblem.RATE_LIMITED, True),
    ({"error": {"type": "rate_limit_error", "message": "x"}}, CallProblem.RATE_LIMITED, True),
    ({"type": "error", "error": {"type": "overloaded_error"}}, CallProblem.SERVER_ERROR, True),
    ([{"error": {"status": "RESOURCE_EXHAUSTED", "message": "q"}}], CallProblem.RATE_LIMITED, True),
    ({"error": {"code": "insufficient_quota", "message": "q"}}, CallProblem.RATE_LIMITED, False),
    ({"error": {"code": 503, "message": "Model is loading"}}, CallProblem.SERVER_ERROR, True),
    ({"object": "error", "message": "busy", "code": 500}, CallProblem.SERVER_ERROR, True),
    ({"error": "upstream timed out"}, CallProblem.SERVER_ERROR, True),
    ({"errors": [{"code": 502, "message": "bad gateway"}]}, CallProblem.SERVER_ERROR, True),
    ({"detail": "Too many requests"}, CallProblem.RATE_LIMITED, True),
    ({"message": "Endpoint request timed out"}, CallProblem.SERVER_ERROR, True),
    ({"fault": {"faultstring": "Rate limit quota violation"}}, CallProblem.RATE_LIMITED, True),
    (
        {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
        CallProblem.RATE_LIMITED,
        True,
    ),
    ({"statusCode": 401, "message": "Access denied"}, CallProblem.REJECTED, False),
    ({"error": {"code": 401, "message": "no key"}}, CallProblem.REJECTED, False),
    ({"error": {"code": "model_not_found", "message": "x"}}, CallProblem.REJECTED, False),
    ({"error": {"code": 402, "message": "Insufficient credits"}}, CallProblem.RATE_LIMITED, False),
    (body("", choice={"error": {"code": 502, "message": "down"}}), CallProblem.SERVER_ERROR, True),
    (body("", choice={"finish_reason": "error"}), CallProblem.SERVER_ERROR, True),
    ({"status": "ok"}, CallProblem.NOT_AN_API, False),
    ({"response": SAID, "done": True}, CallProblem.NOT_AN_API, False),
    ({"candidates": []}, CallProblem.NOT_AN_API, False),
    ({"output": [], "object": "response"}, CallProblem.NOT_AN_API, False),
]


@pytest.mark.parametrize(("document", "problem", "retryable"), ERRORS)
def test_an_error_behind_status_200(
    document: object, problem: CallProblem, retryable: bool
) -> None:
    failed = read_completion(encoded(document))
    assert isinstance(failed, Failed), failed
    assert (failed.problem, failed.retryable) == (problem, retryable), failed.message


@pytest.mark.parametrize(
    ("text", "problem", "words"),
    [
        ("", CallProblem.SERVER_ERROR, "empty body"),
        (json.dumps(body())[:40], CallProblem.SERVER_ERROR, "ends early"),
        ("<html><title>Sign in</title></html>", CallProblem.NOT_AN_API, "Sign in"),
        ("<!DOCTYPE html><title>Nginx</title>", CallProblem.NOT_AN_API, "web page"),
        ("It works!", CallProblem.NOT_AN_API, "no JSON"),
        ("<html><h1>502 Bad Gateway</h1></html>", CallProblem.SERVER_ERROR, "Bad Gateway"),
        ("<html><title>429 Too Many Requests</title>", CallProblem.RATE_LIMITED, "429"),
        ("upstream connect error or disconnect", CallProblem.SERVER_ERROR, "upstream"),
        ("no healthy upstream", CallProblem.SERVER_ERROR, "healthy"),
        ("<?xml version='1.0'?><Error><Code>AccessDenied</Code>", CallProblem.REJECTED, "Denied"),
        ('data: {"error": {"code": 429, "message": "slow"}}\n\n', CallProblem.RATE_LIMITED, "slow"),
    ],
)
def test_no_completion_at_all(text: str, problem: CallProblem, words: str) -> None:
    failed = read_completion(text.encode())
    assert isinstance(failed, Failed), failed
    assert failed.problem is problem
    assert words in failed.message


@pytest.mark.parametrize("choices", [[], None, "x", [{}], [{"message": None}]])
def test_choices_that_cannot_be_read_are_unknown(choices: object) -> None:
    completion = read_completion(encoded({"choices": choices}))
    assert isinstance(completion, Completion)
    assert read_answer(completion.raw, LABELS).unknown_reason.startswith("malformed_response")


@pytest.mark.parametrize("text", ["<think>and then {", "```json\n{}\n```\nor\n```json\n{}\n```"])
def test_what_holds_no_single_answer_stays_unknown(text: str) -> None:
    completion = read_completion(encoded(body(text)))
    assert isinstance(completion, Completion)
    assert read_answer(completion.raw, LABELS).unknown_reason.startswith("not_json")


def test_confidence_survives_reasoning_and_an_end_of_turn() -> None:
    pieces = [("long", -3.0), ('{"class": "', 0.0), ("line", -0.5), ('"}', 0.0), ("<eos>", -0.1)]
    tokens = [{"token": text, "logprob": value} for text, value in pieces]
    completion = read_completion(encoded(body(choice={"logprobs": {"content": tokens}})))
    assert isinstance(completion, Completion)
    confidence = read_answer(completion.raw, LABELS).confidence
    assert confidence == pytest.approx(0.6065, abs=1e-3)


def test_half_a_character_is_no_half_of_an_answer() -> None:
    """JSON may hold lone surrogates, which no record and no message between processes can."""
    refused = read_completion(
        b'{"error": {"code": 400, "message": "bad \\ud800", "type": "\\udfff"}}'
    )
    assert isinstance(refused, Failed)
    assert "bad ?" in refused.message
    model = json.dumps(body(choice={"logprobs": None}) | {"model": "m\ud800"}).encode()
    completion = read_completion(model)
    assert isinstance(completion, Completion)
    assert completion.model == "m?"


def test_half_a_character_among_the_reasoning_does_no_harm() -> None:
    said = '<think>\ud800</think>{"class": "line"}'
    tokens = [{"token": said, "logprob": -0.5}]
    completion = read_completion(encoded(body(said, choice={"logprobs": {"content": tokens}})))
    assert isinstance(completion, Completion)
    assert read_answer(completion.raw, LABELS).class_name == LABELS["line"]


@pytest.mark.parametrize("is_ascii", [False, True])
def test_confidence_of_a_name_that_is_not_ascii(is_ascii: bool) -> None:
    said = json.dumps({"class": "lötfehler"}, ensure_ascii=is_ascii)
    tokens = [{"token": piece, "logprob": -0.6} for piece in (said[:13], said[13:])]
    completion = read_completion(encoded(body(said, choice={"logprobs": {"content": tokens}})))
    assert isinstance(completion, Completion)
    answer = read_answer(completion.raw, {"lötfehler": "lötfehler"})
    assert answer.class_name == "lötfehler"
    assert answer.confidence == pytest.approx(0.3012, abs=1e-3)
