"""What a language model said, turned into a class of the policy, or into ``unknown`` and why.

Nothing raises here: the text may be a refusal, cut off, a megabyte, JSON of another shape or a
class that is not listed. A class is taken only from the one JSON object that was asked for.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from openai.types.shared_params import ResponseFormatJSONSchema

from prompts.names import fold
from serving.naming.base import UNKNOWN

MAX_ANSWER_CHARS: Final = 4096
"""A longer answer is not read: the object that was asked for has a few dozen characters."""
FIELD: Final = "class"
_REASONING_ENDS: Final = re.compile(
    r"</(?:seed:)?(?:think|thinking|thought|reasoning|reflection)>|\[/THINK\]|◁/think▷"
    r"|<\|channel\|>final(?:<\|[a-z]+\|>|[ a-z_]){0,4}<\|message\|>|<\|end_of_thought\|>",
    re.IGNORECASE,
)
"""What stands between the reasoning that a server left in the text and the answer."""
_ENDS_OF_TURN: Final = ("<|return|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "</s>")
_FENCE: Final = re.compile(r"```[a-zA-Z]{0,10}[ \t]*\r?\n(.*)\n?```", re.DOTALL)


class UnknownReason(StrEnum):
    """Why an answer became ``unknown``."""

    SAID_UNKNOWN = "said_unknown"
    REFUSED = "refused"
    FILTERED = "content_filter"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    NOT_JSON = "not_json"
    WRONG_SCHEMA = "wrong_schema"
    UNLISTED = "unlisted_class"
    AMBIGUOUS = "ambiguous_class"
    DISAGREEMENT = "disagreement"
    BAD_PROMPT = "bad_prompt"
    NO_CLASSES = "no_classes"
    MALFORMED = "malformed_response"


@dataclass(frozen=True)
class Token:
    """One generated token with its log-probability and the most likely alternatives."""

    data: bytes
    logprob: float
    alternatives: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True)
class RawAnswer:
    """What came back from one call, before anybody believes it."""

    text: str
    finish_reason: str = "stop"
    refusal: str = ""
    tokens: tuple[Token, ...] | None = None
    """None where the endpoint gives no log-probabilities."""
    unreadable: UnknownReason | None = None
    """Set where the response around the text could not be read; ``text`` then shows its start."""


@dataclass(frozen=True)
class Answer:
    """One answer, read. ``confidence`` is None where log-probabilities are absent."""

    class_name: str
    confidence: float | None = None
    unknown_reason: str = ""
    candidates: Mapping[str, float] = field(default_factory=dict)


def response_format(labels: Sequence[str]) -> ResponseFormatJSONSchema:
    """Chat Completions ``response_format``: strict JSON Schema with the labels as enumeration."""
    schema: dict[str, object] = {
        "type": "object",
        "properties": {FIELD: {"type": "string", "enum": list(labels)}},
        "required": [FIELD],
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "anomaly_class", "strict": True, "schema": schema},
    }


def read_answer(raw: RawAnswer, labels: Mapping[str, str]) -> Answer:
    """The class that ``raw`` names, by ``labels`` (answer -> class), or ``unknown`` with a reason.

    The confidence is the product of the probabilities of the tokens that spell the class.
    """
    problem = _problem(raw)
    if problem is not None:
        return problem
    value = _class_value(raw.text)
    if isinstance(value, Answer):
        return value
    label = _match(value, labels)
    if label is None:
        return _unknown(UnknownReason.UNLISTED, value)
    if label == "":
        return _unknown(UnknownReason.AMBIGUOUS, value)
    confidence, candidates = _confidence(raw, value, label, labels)
    name = labels[label]
    if name == UNKNOWN:
        return Answer(UNKNOWN, confidence, UnknownReason.SAID_UNKNOWN.value, candidates)
    return Answer(name, confidence, "", candidates)


def agree(answers: Sequence[Answer]) -> Answer:
    """One answer from repeated calls: the class of more than half of them.

    The confidence is the mean of the log-probability confidences where all agreeing answers have
    one; otherwise the posterior mean of agreement under a uniform prior, (k + 1) / (n + 2), so that
    a single call without log-probabilities claims two thirds and never certainty.
    """
    counts = Counter(a.class_name for a in answers)
    name, votes = counts.most_common(1)[0]
    candidates = {c: k / len(answers) for c, k in counts.most_common()}
    if 2 * votes <= len(answers):
        reason = ", ".join(f"{c} {k}x" for c, k in counts.most_common(4))
        return Answer(UNKNOWN, 0.0, f"{UnknownReason.DISAGREEMENT.value}: {reason}", candidates)
    chosen = [a for a in answers if a.class_name == name]
    known = [a.confidence for a in chosen if a.confidence is not None]
    if len(known) == len(chosen):
        confidence = sum(known) / len(known) * votes / len(answers)
        mean = chosen[0].candidates if len(answers) == 1 else candidates
        return Answer(name, confidence, chosen[0].unknown_reason, mean)
    posterior = (votes + 1) / (len(answers) + 2)
    return Answer(name, posterior, chosen[0].unknown_reason, candidates)


def _problem(raw: RawAnswer) -> Answer | None:
    if raw.unreadable is not None:
        return _unknown(raw.unreadable, raw.text)
    if raw.refusal:
        return _unknown(UnknownReason.REFUSED, raw.refusal)
    if raw.finish_reason == "content_filter":
        return _unknown(UnknownReason.FILTERED)
    if raw.finish_reason == "length":
        return _unknown(UnknownReason.TRUNCATED, raw.text)
    answered = without_reasoning(raw.text)
    if len(answered) > MAX_ANSWER_CHARS:
        return _unknown(UnknownReason.TOO_LONG, f"{len(answered)} characters")
    if not answered:
        return _unknown(UnknownReason.EMPTY)
    return None


def without_reasoning(text: str) -> str:
    """What was answered after a model's reasoning, without one code fence around all of it.

    >>> without_reasoning("<think>A line.</think> {}")
    '{}'
    """
    ends = [found.end() for found in _REASONING_ENDS.finditer(text)]
    answered = text[ends[-1] if ends else 0 :].strip("\ufeff \t\r\n")
    for end in _ENDS_OF_TURN:
        answered = answered.removesuffix(end).rstrip()
    fenced = _FENCE.fullmatch(answered)
    return fenced[1].strip() if fenced else answered


def _class_value(text: str) -> str | Answer:
    try:
        body = json.loads(without_reasoning(text), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError):
        return _unknown(UnknownReason.NOT_JSON, text)
    if not isinstance(body, dict) or set(body) != {FIELD} or not isinstance(body[FIELD], str):
        return _unknown(UnknownReason.WRONG_SCHEMA, text)
    return body[FIELD]


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two answers in one object are none."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a field is given twice")
    return dict(pairs)


def _match(value: str, labels: Mapping[str, str]) -> str | None:
    """The label meant; None when none is, the empty string when more than one is."""
    if value in labels:
        return value
    found = [label for label in labels if fold(label) == fold(value)]
    if not found:
        return None
    return found[0] if len(found) == 1 else ""


def _unknown(reason: UnknownReason, detail: str = "") -> Answer:
    """A reason of bounded length; control characters of the answer are escaped."""
    shown = json.dumps(detail[:120], ensure_ascii=True) if detail else ""
    text = f"{reason.value}: {shown}" if shown else reason.value
    return Answer(UNKNOWN, 0.0, text[:480])


def _confidence(
    raw: RawAnswer, value: str, label: str, labels: Mapping[str, str]
) -> tuple[float | None, dict[str, float]]:
    """Probability of the value's tokens, and of other labels where one token tells them apart."""
    if not raw.tokens:
        return None, {}
    text = b"".join(t.data for t in raw.tokens)
    spoken = raw.text.encode("utf-8", "surrogatepass")
    said = text.rfind(spoken.strip())
    if said < 0:  # tokens of the reasoning may come before, an end of turn after
        return None, {}
    # Some servers' grammars make a model write what is not ASCII as JSON may: ``\u00f6``.
    for is_ascii in (False, True):
        quoted = json.dumps(value, ensure_ascii=is_ascii).encode()[1:-1]
        if (start := text.rfind(quoted, said, said + len(spoken))) >= 0:
            break
    else:
        return None, {}
    total, at = 0.0, 0
    others: dict[str, float] = {}
    for token in raw.tokens:
        begin, end = at, at + len(token.data)
        at = end
        if end <= start or begin >= start + len(quoted):
            continue
        done = text[start : max(begin, start)]
        lead = text[begin : max(begin, start)]
        before = math.exp(min(total, 0.0))
        total += token.logprob
        for other, share in _alternatives(token, lead, done, label, labels):
            others[labels[other]] = others.get(labels[other], 0.0) + before * share
    chosen = math.exp(min(total, 0.0))
    candidates = {labels[label]: chosen} | {
        name: min(share, 1.0) for name, share in others.items() if name != labels[label]
    }
    ranked = sorted(candidates.items(), key=lambda item: -item[1])[:8]
    return chosen, dict(ranked)


def _alternatives(
    token: Token, lead: bytes, done: bytes, label: str, labels: Mapping[str, str]
) -> list[tuple[str, float]]:
    """Labels that exactly one alternative at this position leads to."""
    found = []
    for data, logprob in token.alternatives:
        if data == token.data or not data.startswith(lead):
            continue
        prefix = done + data[len(lead) :].split(b'"')[0]
        meant = [
            other
            for other in labels
            if other != label
            and json.dumps(other, ensure_ascii=False).encode()[1:-1].startswith(prefix)
        ]
        if len(meant) == 1 and len(prefix) > len(done):
            found.append((meant[0], math.exp(min(logprob, 0.0))))
    return found
