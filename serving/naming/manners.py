"""What an endpoint accepts, and what a refusal teaches about it. Pure.

Models and servers take different subsets of Chat Completions: some refuse a temperature, a strict
schema, a role or a size of picture. A client begins with what its settings ask for; each refusal
that names a field takes one thing away, so that learning ends after a few steps.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from serving.naming.refusals import Refusal
from streams.settings import Section

Form = Literal["json_schema", "json_object", "none"]
TokensField = Literal["max_completion_tokens", "max_tokens", "none"]
STRICTEST_FIRST: Final[tuple[Form, ...]] = ("json_schema", "json_object", "none")
SMALLEST_SIDE_PX: Final = 112
"""Pictures are not made smaller than this for an endpoint: nothing would be seen on them."""


class Manners(Section):
    """What is known of an endpoint; the defaults mean that nothing was refused yet."""

    temperature: bool = True
    """Whether a temperature may be sent."""
    max_tokens_field: TokensField | None = None
    """The name of the bound on the answer; None is the one of the settings."""
    refused_forms: tuple[Form, ...] = ()
    """Forms of ``response_format`` that were refused."""
    logprobs: bool = True
    """Whether log-probabilities may be asked for."""
    top_logprobs: bool = True
    """Whether the alternatives of each token may be asked for."""
    detail: bool = True
    """Whether a picture may say its detail."""
    system_role: bool = True
    """Whether a system message may be sent; otherwise it leads the user's."""
    jpeg: bool = False
    """Whether pictures go as JPEG (4:4:4, quality 95), because lossless ones are too large."""
    side_most_px: Annotated[int, Field(ge=SMALLEST_SIDE_PX, le=16_384)] | None = None
    """The longest side of a picture that was taken, pixels."""

    @property
    def refits(self) -> bool:
        """Whether pictures have to be made smaller, or JPEG, before they are sent."""
        return self.jpeg or self.side_most_px is not None

    def form(self, wanted: Form) -> Form:
        """The form of the answer to ask for: the wanted one, or the strictest that is left."""
        left = (f for f in (wanted, *STRICTEST_FIRST) if f not in self.refused_forms)
        return next(left, "none")

    def described(self) -> list[str]:
        """In words, what differs from the settings."""
        said = []
        if not self.temperature:
            said.append("takes no temperature")
        if self.max_tokens_field == "none":
            said.append("takes no bound on the answer's tokens")
        elif self.max_tokens_field:
            said.append(f"calls the bound on the answer {self.max_tokens_field}")
        if self.refused_forms:
            form = self.form("json_schema")
            left = "answers are asked for in words only" if form == "none" else f"{form} is used"
            said.append(f"refuses {' and '.join(self.refused_forms)} ({left})")
        if not self.logprobs:
            said.append("gives no log-probabilities")
        elif not self.top_logprobs:
            said.append("gives no alternatives of a token")
        if not self.detail:
            said.append("takes no image detail")
        if not self.system_role:
            said.append("takes no system message")
        if self.side_most_px:
            said.append(f"takes pictures up to {self.side_most_px} px a side")
        elif self.jpeg:
            said.append("takes pictures as JPEG only, for their size")
        return said


class Feature(StrEnum):
    """Parts of a request that an endpoint may refuse."""

    TEMPERATURE = "temperature"
    TOKENS = "max_tokens"
    FORM = "response_format"
    TOP_LOGPROBS = "top_logprobs"
    LOGPROBS = "logprobs"
    DETAIL = "detail"
    SYSTEM = "system"
    PICTURE_BYTES = "picture_bytes"
    PICTURE_SIDE = "picture_side"


_NAMED: Final = (
    (
        Feature.DETAIL,
        re.compile(
            r"image_url\W{0,4}(?:\.|\[)?\W{0,3}detail|['\"`]detail['\"`]|image detail", re.I
        ),
    ),
    (Feature.TEMPERATURE, re.compile(r"\btemperature\b", re.I)),
    (Feature.TOP_LOGPROBS, re.compile(r"\btop_?logprobs\b|\btopLogprobs\b", re.I)),
    (
        Feature.LOGPROBS,
        re.compile(r"(?<!top_)\blog_?probs\b|log[- ]?prob(?:abilitie)?s?\b|responseLogprobs", re.I),
    ),
    (
        Feature.FORM,
        re.compile(
            r"response_?format|json_?schema|json_?object|json mode|structured (?:output|decoding)"
            r"|guided[_ ](?:json|decoding)|\bgrammar\b|response_?schema|response_?mime_?type",
            re.I,
        ),
    ),
    (
        Feature.SYSTEM,
        re.compile(
            r"\bsystem['\"`]? (?:role|message|prompt|instruction)|['\"`]system['\"`]"
            r"|role\W{0,4}system|messages\[0\]\.role|developer instruction|roles must alternate",
            re.I,
        ),
    ),
    (
        Feature.PICTURE_SIDE,
        re.compile(
            r"image.{0,80}(?:dimension|pixel|resolution|width|height)|(?:dimension|resolution).{0,60}image",
            re.I,
        ),
    ),
    (
        Feature.PICTURE_BYTES,
        re.compile(
            r"image.{0,60}(?:too (?:large|big)|exceed|larger than|maximum (?:file )?size|MB\b)"
            r"|(?:entity|payload|body|content|request).{0,20}too (?:large|big)|image_too_large"
            r"|request_too_large|exceeds? the (?:body|request|payload)",
            re.I,
        ),
    ),
)
_NOT_TAKEN: Final = re.compile(
    r"support|not allowed|unknown|unrecogni[sz]ed|invalid|unavailable|not enabled|not implemented"
    r"|not permitted|extra|unexpected|deprecated|cannot|must be|only|too |exceed|larger",
    re.I,
)
_TEACHING: Final = frozenset({400, 404, 413, 415, 422, 500, 501})
"""Statuses with which servers refuse a field; llama.cpp and gateways do so with 500."""
_CONTEXT: Final = re.compile(r"context (?:length|window)|too many tokens|max_model_len", re.I)


def refused_feature(refusal: Refusal, sent: Collection[str]) -> Feature | None:
    """The part of the request that a refusal is about, among those that were ``sent``.

    Args:
        refusal: what the endpoint said.
        sent: names of the features in the request; the bound on the answer under its own name.
    """
    if refusal.status not in _TEACHING or _CONTEXT.search(refusal.message):
        return None
    for field in refusal.fields:
        found = _first(field, sent) or _of_place(field, sent)
        if found is not None:
            return found
    if refusal.status == 413:
        return Feature.PICTURE_BYTES
    if refusal.status not in (400, 422) and not _NOT_TAKEN.search(refusal.message):
        return None
    return _first(refusal.message, sent)


@dataclass(frozen=True)
class Sent:
    """How a request was made that was then refused."""

    manners: Manners
    features: frozenset[str]
    """Names of the features that stood in it."""
    form: Form
    """The form of answer that it asked for."""
    tokens: TokensField
    """What it called the bound on the answer."""
    side_px: int
    """Longest side of its pictures."""
    is_jpeg: bool
    """Whether its pictures were JPEG already."""


def learn(sent: Sent, feature: Feature) -> Manners | None:
    """What is known after ``feature`` was refused; None where nothing is left to try."""
    manners = sent.manners
    changes: dict[str, object]
    match feature:
        case Feature.TEMPERATURE:
            changes = {"temperature": False}
        case Feature.TOKENS:
            # The other name, and none once both were refused.
            other = "max_tokens" if sent.tokens != "max_tokens" else "max_completion_tokens"
            changes = {"max_tokens_field": "none" if manners.max_tokens_field else other}
        case Feature.FORM:
            if sent.form == "none":
                return None
            changes = {"refused_forms": (*manners.refused_forms, sent.form)}
        case Feature.TOP_LOGPROBS:
            changes = {"top_logprobs": False}
        case Feature.LOGPROBS:
            changes = {"logprobs": False}
        case Feature.DETAIL:
            changes = {"detail": False}
        case Feature.SYSTEM:
            changes = {"system_role": False}
        case Feature.PICTURE_BYTES if not sent.is_jpeg:
            changes = {"jpeg": True}
        case Feature.PICTURE_BYTES | Feature.PICTURE_SIDE:
            side = sent.side_px * 3 // 4
            if side < SMALLEST_SIDE_PX:
                return None
            changes = {"side_most_px": side}
    learned = manners.model_copy(update=changes)
    return None if learned == manners else learned


def _first(text: str, sent: Collection[str]) -> Feature | None:
    """The feature that is mentioned first."""
    found: list[tuple[int, Feature]] = []
    for feature, pattern in _NAMED:
        always = feature in (Feature.PICTURE_SIDE, Feature.PICTURE_BYTES)
        if (always or feature in sent) and (match := pattern.search(text)):
            found.append((match.start(), feature))
    for name in ("max_completion_tokens", "max_tokens"):
        if name in sent and (match := re.search(rf"\b{name}\b", text, re.I)):
            found.append((match.start(), Feature.TOKENS))
    return min(found, key=lambda item: item[0])[1] if found else None


def _of_place(field: str, sent: Collection[str]) -> Feature | None:
    """A field named by its place in the messages."""
    if field.endswith("detail") and Feature.DETAIL in sent:
        return Feature.DETAIL
    if re.search(r"messages\W{0,2}0\W{1,2}role", field) and Feature.SYSTEM in sent:
        return Feature.SYSTEM
    return None
