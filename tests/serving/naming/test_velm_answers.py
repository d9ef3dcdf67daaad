"""What a model says becomes a listed class, or unknown and why."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.naming.answers import (
    Answer,
    RawAnswer,
    Token,
    UnknownReason,
    agree,
    read_answer,
    response_format,
)
from serving.naming.base import NORMAL, UNKNOWN
from serving.naming.calls import Failed
from serving.naming.responses import read_completion

LABELS = {
    "crack": "crack",
    "crack at edge": "edge_crack",
    "gas pore": "pore",
    "normal": NORMAL,
    "unknown": UNKNOWN,
}


def said(label: str) -> str:
    return json.dumps({"class": label})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"class": "gas pore"}', "pore"),
        (' {"class":"Gas  Pore."}\n', "pore"),
        ('{"class": "normal"}', NORMAL),
        ('{"class": "crack"}', "crack"),
    ],
)
def test_listed_names(text: str, expected: str) -> None:
    answer = read_answer(RawAnswer(text), LABELS)
    assert (answer.class_name, answer.unknown_reason) == (expected, "")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (RawAnswer(said("unknown")), UnknownReason.SAID_UNKNOWN),
        (RawAnswer(said("pass")), UnknownReason.UNLISTED),
        (RawAnswer(said("")), UnknownReason.UNLISTED),
        (RawAnswer("", refusal="I cannot help"), UnknownReason.REFUSED),
        (RawAnswer(said("crack"), refusal="no"), UnknownReason.REFUSED),
        (RawAnswer(said("crack"), finish_reason="length"), UnknownReason.TRUNCATED),
        (RawAnswer("", finish_reason="content_filter"), UnknownReason.FILTERED),
        (RawAnswer(""), UnknownReason.EMPTY),
        (RawAnswer("It is a crack."), UnknownReason.NOT_JSON),
        (RawAnswer("Here: ```json\n" + said("crack") + "\n```"), UnknownReason.NOT_JSON),
        (RawAnswer('{"class": "crack"'), UnknownReason.NOT_JSON),
        (RawAnswer('{"class": "crack", "class": "gas pore"}'), UnknownReason.NOT_JSON),
        (RawAnswer('"crack"'), UnknownReason.WRONG_SCHEMA),
        (RawAnswer('["crack"]'), UnknownReason.WRONG_SCHEMA),
        (RawAnswer('{"class": ["crack"]}'), UnknownReason.WRONG_SCHEMA),
        (RawAnswer('{"class": "crack", "action": "pass"}'), UnknownReason.WRONG_SCHEMA),
        (RawAnswer('{"anomaly": "crack"}'), UnknownReason.WRONG_SCHEMA),
        (RawAnswer("[" * 4000), UnknownReason.NOT_JSON),
        (RawAnswer(said("crack" * 250_000)), UnknownReason.TOO_LONG),
        (RawAnswer("<html>", unreadable=UnknownReason.MALFORMED), UnknownReason.MALFORMED),
    ],
)
def test_everything_else_is_unknown_with_its_reason(raw: RawAnswer, reason: UnknownReason) -> None:
    answer = read_answer(raw, LABELS)
    assert answer.class_name == UNKNOWN
    assert answer.unknown_reason.split(":")[0] == reason.value
    assert len(answer.unknown_reason) <= 480
    assert answer.unknown_reason.isprintable()


def test_labels_that_read_alike_are_ambiguous() -> None:
    answer = read_answer(RawAnswer(said("CRACK")), {"crack": "a", "Crack.": "b"})
    assert answer.unknown_reason.startswith(UnknownReason.AMBIGUOUS.value)


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    answer = read_answer(RawAnswer(text), LABELS)
    assert answer.class_name in LABELS.values()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda child: (
            st.lists(child, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "message", "content", "refusal", "logprobs", "usage", "bytes", "x"]
                ),
                child,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_response_body_is_read(body: object) -> None:
    completion = read_completion(json.dumps(body).encode())
    if isinstance(completion, Failed):
        assert completion.message
        return
    assert read_answer(completion.raw, LABELS).class_name in LABELS.values()


def tokens(*pieces: tuple[str, float], **tops: list[tuple[str, float]]) -> tuple[Token, ...]:
    return tuple(
        Token(
            text.encode(),
            math.log(share),
            tuple((t.encode(), math.log(s)) for t, s in tops.get(f"at{i}", [])),
        )
        for i, (text, share) in enumerate(pieces)
    )


def test_confidence_is_the_product_over_the_tokens_of_the_class() -> None:
    spoken = tokens(
        ('{"', 0.9), ("class", 0.9), ('": "', 0.9), ("gas", 0.8), (" pore", 0.5), ('"}', 0.9)
    )
    answer = read_answer(RawAnswer('{"class": "gas pore"}', tokens=spoken), LABELS)
    assert answer.confidence == pytest.approx(0.4)


def test_runners_up_come_from_the_alternatives() -> None:
    spoken = tokens(
        ('{"class": "', 1.0),
        ("gas", 0.7),
        (" pore", 1.0),
        ('"}', 1.0),
        at1=[("gas", 0.7), ("norm", 0.2), ("c", 0.06), ("zebra", 0.04)],
    )
    answer = read_answer(RawAnswer('{"class": "gas pore"}', tokens=spoken), LABELS)
    assert answer.candidates == pytest.approx({"pore": 0.7, NORMAL: 0.2})


def test_a_token_that_straddles_the_quote_counts() -> None:
    spoken = tokens(('{"class": "cr', 0.5), ('ack"}', 0.5))
    answer = read_answer(RawAnswer(said("crack"), tokens=spoken), LABELS)
    assert answer.confidence == pytest.approx(0.25)


def test_tokens_that_do_not_spell_the_answer_give_no_confidence() -> None:
    answer = read_answer(RawAnswer(said("crack"), tokens=tokens(("other", 0.9))), LABELS)
    assert answer.confidence is None


def test_one_call_without_log_probabilities_never_claims_certainty() -> None:
    assert agree([Answer("crack")]).confidence == pytest.approx(2 / 3)


def test_agreement_of_repeated_calls() -> None:
    votes = [Answer("crack"), Answer("crack"), Answer("pore"), Answer("crack"), Answer("crack")]
    answer = agree(votes)
    assert (answer.class_name, answer.confidence) == ("crack", pytest.approx(5 / 7))
    assert answer.candidates == pytest.approx({"crack": 0.8, "pore": 0.2})


def test_no_majority_is_unknown() -> None:
    answer = agree([Answer("crack"), Answer("pore")])
    assert answer.class_name == UNKNOWN
    assert answer.unknown_reason.startswith("disagreement: crack 1x, pore 1x")


def test_disagreement_lowers_a_log_probability_confidence() -> None:
    answer = agree([Answer("crack", 0.9), Answer("crack", 0.9), Answer("pore", 0.9)])
    assert answer.confidence == pytest.approx(0.6)


def test_schema_enumerates_the_labels() -> None:
    schema = response_format(list(LABELS))["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["class"]["enum"] == list(LABELS)
    assert schema["schema"]["additionalProperties"] is False
