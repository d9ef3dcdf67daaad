"""What the refusals of many servers teach about what an endpoint accepts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.naming.calls import Failed
from serving.naming.failures import failure_of
from serving.naming.manners import STRICTEST_FIRST, Feature, Manners, Sent, learn, refused_feature
from serving.naming.refusals import refusal_of, refusal_of_text

FIELDS = ("temperature", "max_completion_tokens", "response_format", "logprobs", "top_logprobs")
FEATURES = frozenset({*FIELDS, "detail", "system"})
SENT = Sent(Manners(), FEATURES, "json_schema", "max_completion_tokens", 448, False)


def wrapped(message: str, param: str | None = None, code: object = None) -> dict[str, object]:
    return {"error": {"message": message, "type": "bad", "param": param, "code": code}}


def extra(*loc: object) -> dict[str, object]:
    return {"type": "extra_forbidden", "loc": ["body", *loc], "msg": "Extra inputs", "input": 1}


TAUGHT = [
    (400, wrapped("Unsupported value: 'temperature' does not support 0.0", "temperature"), "t"),
    (400, wrapped("`temperature` is deprecated for this model."), "t"),
    (400, wrapped("litellm.UnsupportedParamsError: does not support ['temperature']"), "t"),
    (422, {"error": "Input validation error: `temperature` must be strictly positive"}, "t"),
    (400, [{"error": {"code": 400, "message": "Invalid value at 'temperature'"}}], "t"),
    (422, {"detail": [extra("max_completion_tokens")]}, "max"),
    (422, {"object": "error", "message": {"detail": [extra("max_completion_tokens")]}}, "max"),
    (400, wrapped("Unrecognized request argument supplied: max_completion_tokens"), "max"),
    (
        400,
        {"object": "error", "message": str([extra("max_completion_tokens")]), "code": 400},
        "max",
    ),
    (400, [{"error": {"message": 'Unknown name "max_completion_tokens": Cannot find'}}], "max"),
    (400, wrapped("'response_format' of type 'json_schema' is not supported"), "form"),
    (400, wrapped("This response_format type is unavailable now"), "form"),
    (400, wrapped("This model does not support response format `json_schema`."), "form"),
    (422, {"error": "grammar is not supported", "error_type": "validation"}, "form"),
    (500, wrapped("structured output is not supported with this engine"), "form"),
    (400, wrapped("You are not allowed to request logprobs from this model"), "log"),
    (400, wrapped("property 'logprobs' is unsupported"), "log"),
    (501, wrapped("log probabilities are not implemented"), "log"),
    (400, wrapped("top_logprobs must be at most 1"), "top"),
    (400, wrapped("Unknown parameter: 'messages[1].content[1].image_url.detail'."), "detail"),
    (422, {"detail": [extra("messages", 1, "content", 1, "image_url", "detail")]}, "detail"),
    (400, wrapped("System role not supported"), "system"),
    (400, wrapped("Unsupported value", "messages[0].role"), "system"),
    (
        400,
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": json.dumps(wrapped("'temperature' is not supported"))},
            }
        },
        "t",
    ),
    (413, wrapped("Request too large"), "bytes"),
    (400, wrapped("image exceeds 5 MB maximum: 6 > 5"), "bytes"),
    (400, wrapped("At least one of the image dimensions exceed max allowed size"), "side"),
]
SHORT = {
    "t": Feature.TEMPERATURE,
    "max": Feature.TOKENS,
    "form": Feature.FORM,
    "log": Feature.LOGPROBS,
    "top": Feature.TOP_LOGPROBS,
    "detail": Feature.DETAIL,
    "system": Feature.SYSTEM,
    "bytes": Feature.PICTURE_BYTES,
    "side": Feature.PICTURE_SIDE,
}


@pytest.mark.parametrize(("status", "body", "feature"), TAUGHT)
def test_a_refusal_names_what_it_is_about(status: int, body: object, feature: str) -> None:
    refusal = refusal_of(body, status)
    assert refusal is not None
    assert refused_feature(refusal, FEATURES) is SHORT[feature]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, wrapped("Bad request")),
        (422, wrapped("extra_forbidden")),
        (401, wrapped("temperature")),
        (429, wrapped("max_completion_tokens per minute")),
        (404, wrapped("The model `x` does not exist")),
        (400, wrapped("maximum context length is 4096 tokens; max_completion_tokens is too large")),
        (400, wrapped("This model does not support image input")),
        (500, wrapped("The server had an error. temperature is fine.")),
        (503, wrapped("temperature is not supported")),
    ],
)
def test_what_names_nothing_teaches_nothing(status: int, body: object) -> None:
    refusal = refusal_of(body, status)
    assert refusal is not None
    assert refused_feature(refusal, FEATURES) is None


def test_a_field_that_was_not_sent_is_not_to_blame() -> None:
    refusal = refusal_of(wrapped("Unsupported parameter: 'max_tokens'"), 400)
    assert refusal is not None
    assert refused_feature(refusal, FEATURES - {"max_completion_tokens"}) is None
    assert refused_feature(refusal, {"max_tokens"}) is Feature.TOKENS


def test_every_form_of_answer_is_tried_once() -> None:
    manners, seen = Manners(), []
    for _ in range(5):
        form = manners.form("json_object")
        seen.append(form)
        learned = learn(Sent(manners, FEATURES, form, "max_tokens", 448, False), Feature.FORM)
        if learned is None:
            break
        manners = learned
    assert seen == ["json_object", "json_schema", "none"]


@given(st.lists(st.sampled_from(Feature), max_size=60))
def test_learning_ends(features: list[Feature]) -> None:
    """However an endpoint refuses, the ways to put a question run out."""
    manners, steps = Manners(), 0
    for feature in features:
        tokens = manners.max_tokens_field or "max_completion_tokens"
        side_px = manners.side_most_px or 448
        form = manners.form("json_schema")
        sent = Sent(manners, FEATURES, form, tokens, side_px, manners.jpeg)
        learned = learn(sent, feature)
        if learned is not None:
            steps += 1
            assert learned != manners
            manners = learned
    assert steps <= 15
    assert manners.form("json_schema") in STRICTEST_FIRST
    assert manners.side_most_px is None or manners.side_most_px >= 112
    assert all(manners.described())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda child: (
        st.lists(child, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "loc", "code", "metadata", "raw", "param", "errors"]
            ),
            child,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON, st.integers(100, 599))
def test_any_error_body_is_read(body: object, status: int) -> None:
    refusal = refusal_of(body, status)
    if refusal is not None:
        refused_feature(refusal, FEATURES)
        failure_of(refusal, "llm")
        assert len(refusal.message) <= 2000


@given(st.text(max_size=400), st.integers(100, 599))
def test_any_error_text_is_read(text: str, status: int) -> None:
    failure_of(refusal_of_text(text, status), "llm")


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 20ms. Visit", 0.02),
        ("Please try again in 1.5s.", 1.5),
        ("Please retry after 30 seconds.", 30),
        ("Please try again in 6m0s.", 360),
        ("Please retry in 12.5s", 12.5),
        ("retryDelay: 7s", 7),
        ("try later", None),
        ("Rate limit reached", None),
    ],
)
def test_how_long_the_words_ask_to_wait(message: str, seconds: float | None) -> None:
    assert refusal_of_text(message, 429).pause_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("body", "retryable"),
    [
        (wrapped("You exceeded your current quota", code="insufficient_quota"), False),
        (wrapped("You exceeded your current quota, check your plan and billing"), False),
        (wrapped("You exceeded your current quota. Please retry in 12.5s."), True),
        (wrapped("Rate limit reached; add a payment method at /account/billing"), True),
        (wrapped("Your credit balance is too low"), False),
    ],
)
def test_a_spent_quota_is_told_from_a_limit_that_passes(body: object, retryable: bool) -> None:
    refusal = refusal_of(body, 429)
    assert refusal is not None
    failed = failure_of(refusal, "llm")
    assert isinstance(failed, Failed)
    assert failed.retryable == retryable


def test_json_that_was_not_generated_this_time_is_asked_for_again() -> None:
    refusal = refusal_of(wrapped("Failed to generate JSON.", code="json_validate_failed"), 400)
    assert refusal is not None
    failed = failure_of(refusal, "llm")
    assert isinstance(failed, Failed)
    assert (failed.retryable, failed.blames_endpoint) == (True, False)
    assert refused_feature(refusal, FEATURES) is None
