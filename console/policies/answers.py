"""What the policy pages and their API answer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from console.second_person import AnswerToRequest
from policies.authoring.yaml_tree import MAX_BYTES
from streams.codes import Action, Severity

REASON_LENGTHS: Final = range(3, 501)
"""Characters of the words that say why a policy is changed, at a prompt too."""
PolicyHash = Annotated[str, Field(pattern=r"^[0-9a-f]{6,64}$")]
"""The hash of a version, or the beginning of one."""
Reason = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=REASON_LENGTHS.start, max_length=REASON_LENGTHS.stop - 1
    ),
]


class GivenBody(BaseModel):
    """What a program sends; a key that nobody reads is refused."""

    model_config = ConfigDict(extra="forbid")


class PolicyEntry(BaseModel):
    """One change of a product's policy."""

    from_hash: str | None
    to_hash: str | None
    """None: the policy was withdrawn."""
    at: datetime
    by: str
    reason: str
    softening: bool


class PolicyRequest(BaseModel):
    """A change that waits for a second person."""

    number: int
    product: str
    policy_hash: str
    replaces: str | None
    by: str
    reason: str
    at: datetime


class ProductPolicy(BaseModel):
    """A product and the policy in force for it."""

    product: str
    key: str
    """Names the product in addresses, where the name itself has a slash too."""
    policy_hash: str | None
    """None: withdrawn, every part is held."""
    since: datetime
    by: str
    reason: str
    on_line: str | None
    """What the line follows, as the broker says; None where it follows none of the product."""
    signed_by: str | None
    """The key that signed it; None where signatures are not asked for."""
    refused: str | None
    """Why the last message of the product was refused by the line; the one before stands."""
    request: PolicyRequest | None


class VersionText(BaseModel):
    """One version of a product's policy, as a person edits it."""

    product: str
    policy_hash: str
    text: str
    is_as_written: bool
    """Whether it is the text that was applied; else it was written from the body, without
    comments."""


class GivenPolicy(GivenBody):
    """A policy's text."""

    text: Annotated[str, Field(max_length=MAX_BYTES + 1)]


class WantedChange(GivenBody):
    """A version that shall be in force: a text, or the hash of a stored version."""

    text: Annotated[str | None, Field(max_length=MAX_BYTES + 1)] = None
    policy_hash: PolicyHash | None = None
    replaces: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")]
    """The version that was looked at; refused if another is in force by now."""
    reason: Reason
    allow_softening: Annotated[bool, Field(strict=True)] = False
    """Parts may pass that are stopped today, more of their pictures leave the plant, or audits,
    limits and golden parts watch less."""

    @model_validator(mode="after")
    def _has_one(self) -> "WantedChange":
        if (self.text is None) == (self.policy_hash is None):
            raise ValueError("give a text, or the hash of a stored version")
        return self


class AnsweredRequest(GivenBody):
    """The answer to a request."""

    answer: AnswerToRequest
    reason: Annotated[str, Field(max_length=500)] = ""


class ChangeState(StrEnum):
    """What a change has led to."""

    IN_FORCE = "in_force"
    REQUESTED = "requested"
    CLOSED = "closed"
    """A request that was refused or withdrawn."""


class ChangeOutcome(BaseModel):
    """What became of a change."""

    state: ChangeState
    policy_hash: str
    entry: PolicyEntry | None = None
    request: PolicyRequest | None = None


class OneChange(BaseModel):
    """One difference in words."""

    at: str
    text: str
    in_prompt: bool
    """The classifier reads it: recorded classes say nothing about the new version."""


class PolicyDifference(BaseModel):
    """What changes from the version in force to a text."""

    from_hash: str | None
    to_hash: str
    changes: tuple[OneChange, ...]
    softenings: tuple[str, ...]
    changes_prompt: bool


class RuleVerdict(BaseModel):
    """What a policy does with a part, and by which rule."""

    action: Action
    severity: Severity
    rule: str
    reason: str
    steps: tuple[str, ...]


class TriedPart(BaseModel):
    """A recorded part under the policy in force and under a text."""

    frame_id: UUID
    part_id: str
    station: str
    captured_at: datetime
    class_name: str
    confidence: float | None
    recorded: Action
    before: RuleVerdict | None
    """None where no policy is in force."""
    after: RuleVerdict
    changes: bool
    outline: str
    """The odd region as a path of SVG, in pixels of the picture."""
    width: int
    height: int


class JudgedParts(BaseModel):
    """The last parts of a product on which a classifier or a fallback had a say, newest first."""

    parts: tuple[TriedPart, ...]
    changed: int


class ChangedPart(BaseModel):
    """A recorded part that a text would treat in another way."""

    frame_id: str
    part_id: str
    class_name: str
    before: str
    after: str
    reason: str
    reviewed: str


class PartsOfKind(BaseModel):
    """How many parts, and the first of them."""

    count: int
    parts: tuple[ChangedPart, ...]


class BacktestState(StrEnum):
    """How far a back-test is."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class BacktestResult(BaseModel):
    """What recorded decisions would have been."""

    decisions: int
    changed: tuple[tuple[str, str, str, int], ...]
    """Class, action as recorded, action of the text, decisions."""
    total_changed: int
    reviewed: int
    changes: PartsOfKind
    escapes: PartsOfKind
    """Would pass, and a person found a defect."""
    possible_escapes: PartsOfKind
    """Would pass, were stopped, and nobody reviewed them."""
    scrapped: PartsOfKind
    good_scrapped: PartsOfKind
    not_judgeable: int
    """Classes that were named under other texts than the text's."""
    mismatches: int
    cost: tuple[float, float] | None
    """Recorded, and of the text."""
    currency: str


class BacktestStatus(BaseModel):
    """A back-test."""

    id: str
    product: str
    policy_hash: str
    by: str
    state: BacktestState
    done: int
    """Decisions so far."""
    total: int | None
    """About how many there are."""
    took_s: float
    problem: str = ""
    result: BacktestResult | None = None
