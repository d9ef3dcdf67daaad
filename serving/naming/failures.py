"""Sorts what a refusal means for the caller: wait, try again, or give up and say why."""

import re
from typing import Final

from serving.naming.answers import RawAnswer
from serving.naming.calls import SHOWN_CHARS, CallProblem, Completion, Failed
from serving.naming.refusals import Refusal

_CONFIGURATION: Final = frozenset({401, 402, 403, 404, 405, 407, 410})
"""Statuses that every further call would get as well."""
_TRANSIENT: Final = frozenset({408, 409, 425})
_PERMANENT: Final = frozenset({501, 505})
_GIVEN_UP: Final = frozenset({504, 524})
"""A gateway no longer waited for the model, which went on."""
_EXHAUSTED: Final = re.compile(
    r"insufficient.?(?:quota|credit|balance|funds)|exceeded your current quota|billing_hard_limit"
    r"|out of credits|credit balance|never purchased credits",
    re.I,
)
_FILTERED: Final = re.compile(
    r"content_filter|content.?policy|content management policy|ResponsibleAI|data_inspection_failed"
    r"|moderation|safety system",
    re.I,
)
_NOT_GENERATED: Final = re.compile(r"json_validate_failed|failed to generate (?:valid )?json", re.I)
"""The model wrote no JSON this time: Groq says so as HTTP 400."""
_HINTS: Final = (
    (
        re.compile(r"at most \d+ (?:image|multimodal)|too many images|only one image", re.I),
        "Andon sends up to 4 pictures with a question: allow them (vLLM: --limit-mm-per-prompt), "
        "or switch off classifier.velm.parts.reference_image",
    ),
    (
        re.compile(
            r"(?:image|vision|multi-?modal|mmproj).{0,60}(?:not |n.t )(?:support|allow|avail)"
            r"|(?:not|n.t) (?:support|accept|take|process|allow)\w*.{0,40}(?:image|vision)"
            r"|unknown variant .?image_url|content.? must be a string|no endpoints.{0,40}image"
            r"|missing data required for image|mmproj|only (?:text|support text)",
            re.I,
        ),
        "the model takes no pictures: name one that does",
    ),
    (
        re.compile(
            r"(?:api|access|subscription).?key.{0,30}(?:invalid|not valid|incorrect|missing)"
            r"|(?:invalid|incorrect|missing|wrong|no).{0,12}(?:api|access|subscription).?key",
            re.I,
        ),
        "check the key (api_key_env)",
    ),
    (
        re.compile(
            r"model\b.{0,80}(?:not (?:found|exist|available|served|a valid)|n.t exist|is unknown)"
            r"|(?:unknown|invalid|unsupported|no such|not a valid) model\b",
            re.I,
        ),
        "check the model's name (model)",
    ),
    (
        re.compile(r"context (?:length|window)|too many tokens|max_model_len", re.I),
        "the question is too long for the model: a longer context, or smaller pictures "
        "(classifier.velm.visual.side_px)",
    ),
)


def failure_of(
    refusal: Refusal, name: str, what: str = "", retry_after_s: float | None = None
) -> Failed | Completion:
    """What an endpoint's error means. A content filter is an answer: it speaks of the picture.

    Args:
        refusal: what the endpoint said.
        name: of the endpoint, for the message.
        what: how it was said; ``HTTP`` and the status by default.
        retry_after_s: what the headers ask to wait.
    """
    status = refusal.status
    said = f"{refusal.code} {refusal.message}"
    if 400 <= status < 500 and status not in (401, 429) and _FILTERED.search(said):
        return Completion(RawAnswer("", finish_reason="content_filter"))
    text = f"{name}: {what or f'HTTP {status}'}: {refusal.message or refusal.code or 'no reason'}"
    after = refusal.pause_s if retry_after_s is None else retry_after_s
    hint = next((words for pattern, words in _HINTS if pattern.search(refusal.message)), "")
    if status in (402, 429):
        # Gemini words its limit per minute like a spent quota, but says when to come again.
        spent = status == 402 or "insufficient_quota" in said
        spent = spent or (after is None and bool(_EXHAUSTED.search(said)))
        problem = CallProblem.RATE_LIMITED
        return Failed(problem, text[:SHOWN_CHARS], not spent, spent, after, refusal=refusal)
    if _NOT_GENERATED.search(said):
        return Failed(CallProblem.SERVER_ERROR, text[:SHOWN_CHARS], True, False, after, True)
    hint = hint or _hint_of_status(status)
    text = f"{text[: SHOWN_CHARS - 200]}; {hint}" if hint else text[:SHOWN_CHARS]
    is_server = (status in _TRANSIENT or status >= 500) and status not in _PERMANENT
    if is_server and not hint:
        billed = status in _GIVEN_UP
        return Failed(CallProblem.SERVER_ERROR, text, True, True, after, billed, refusal=refusal)
    blames = status in _CONFIGURATION or status in _PERMANENT or 300 <= status < 400 or is_server
    return Failed(CallProblem.REJECTED, text, False, blames, refusal=refusal)


def _hint_of_status(status: int) -> str:
    match status:
        case 401:
            return "check the key (api_key_env)"
        case 404 | 405:
            return "check base_url, which ends before /chat/completions, and the model's name"
        case 407:
            return "a proxy asks for a login (HTTPS_PROXY)"
        case 413:
            return "smaller pictures: classifier.velm.visual.encoding = jpeg, or a smaller side_px"
        case _ if 300 <= status < 400:
            return "redirects are not followed: base_url is not the API's, or a login stands before"
    return ""
