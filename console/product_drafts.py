"""A product that is being brought up, from pictures to the line; the port that pages work through.

The commands ``andon product`` and the page *New product* are two ways to the same drafts: what one
began, the other goes on with.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from streams.codes import Action, Severity
from streams.errors import AndonError

Corner = tuple[float, float]
"""x and y as shares of the picture's width and height, from its upper left."""


class DraftError(AndonError):
    """A draft cannot be gone on with as asked; the message says why and what to do."""


class DraftStep(StrEnum):
    """The steps of bringing up a product, in their order."""

    PICTURES = "pictures"
    TRAIN = "train"
    TEACH = "teach"
    POLICY = "policy"
    BACKTEST = "backtest"
    LIVE = "live"


class PictureKind(StrEnum):
    """The pictures of a draft."""

    NORMAL = "normal"
    ODD = "odd"
    """An odd normal with its outline and heat, as training drew it."""
    DEFECT = "defect"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class DraftNormal(_Record):
    """A picture of a normal part."""

    name: str
    digest: str
    """SHA-256 of the file."""
    part: str = ""
    """Pictures of one part are held out together; empty where nobody said which part it is."""
    kept: bool = True
    """False: somebody looked at it and took it out."""


class OddNormal(_Record):
    """One of the oddest normals, by parts of the expert that had not seen it."""

    name: str
    score: float
    sets_threshold: bool
    """Whether it is as odd as the threshold or odder, so that the threshold rests on it."""


class TrainedDraft(_Record):
    """What training found."""

    digest: str
    pictures: str
    """Fingerprint of the normals that it was trained on."""
    images: int
    parts: int
    asked_rate: float
    rate: float
    threshold: float
    found: float | None
    """Share of faint synthetic defects that the threshold finds."""
    warnings: tuple[str, ...] = ()
    odd: tuple[OddNormal, ...] = ()
    seconds: float = 0.0


class DraftDefect(_Record):
    """A picture of a defect."""

    name: str
    digest: str
    class_name: str = ""
    """Empty until somebody named it."""
    outline: tuple[Corner, ...] = ()
    """Drawn by a person; empty: a mask file or the expert says where."""
    masked: bool = False
    """Whether a mask file came with it."""
    mask: str = ""
    """Digest of that file; empty in drafts of earlier builds."""
    part: str = ""


class DraftClass(_Record):
    """What a kind of defect means for a part."""

    severity: Severity = Severity.DEFECT
    action: Action = Action.HOLD
    description: str = ""


class TaughtDraft(_Record):
    """What teaching the named defects made."""

    expert: str
    exemplars: str
    lessons: str
    """Fingerprint of the expert and the defects that it was taught."""
    found: dict[str, tuple[float, float]] = {}
    """Share of held-out parts found at the draft's rate, taught and untaught, by class."""


class CheckedPolicy(_Record):
    """What the validator said of the draft's policy."""

    text_hash: str
    """SHA-256 of the text that was checked."""
    policy_hash: str = ""
    """Empty while there are errors."""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    edited: bool = False
    """Whether a person wrote the text; it is not drafted anew then."""


class TriedPolicy(_Record):
    """What the back-test over the history said."""

    policy_hash: str
    parts: int
    changed: int
    """Parts whose action would have been another one."""
    exact: bool
    words: str = ""


class LiveProduct(_Record):
    """What was put on the line, when and by whom."""

    at: datetime
    by: str
    expert: str
    exemplars: str
    policy_hash: str


class TrainingChoice(_Record):
    """Options of the training that hardly anybody changes."""

    size: int = 256
    """Side of the network's input, pixels."""
    synthetic: int = 200
    """Synthetic defects that choices are made on."""
    threads: int | None = None
    """CPU threads; None takes all."""


class ProductDraft(_Record):
    """Everything that is known of a product that is being brought up."""

    product: str
    key: str
    """Names the draft in addresses and on disk."""
    by: str
    began_at: datetime
    rate: float = 0.02
    """Share of normal parts that the expert may call odd."""
    choice: TrainingChoice = TrainingChoice()
    normals: tuple[DraftNormal, ...] = ()
    trained: TrainedDraft | None = None
    defects: tuple[DraftDefect, ...] = ()
    classes: dict[str, DraftClass] = {}
    taught: TaughtDraft | None = None
    checked: CheckedPolicy | None = None
    tried: TriedPolicy | None = None
    live: LiveProduct | None = None

    @property
    def kept(self) -> tuple[DraftNormal, ...]:
        """The normals that training takes."""
        return tuple(normal for normal in self.normals if normal.kept)

    @property
    def named(self) -> tuple[DraftDefect, ...]:
        """The defects that have a name."""
        return tuple(defect for defect in self.defects if defect.class_name)


def pictures_of(draft: ProductDraft) -> str:
    """Fingerprint of what training would be given now."""
    given = sorted((normal.digest, normal.part) for normal in draft.kept)
    return _fingerprint([given, draft.rate, draft.choice.size, draft.choice.synthetic])


def lessons_of(draft: ProductDraft) -> str:
    """Fingerprint of what teaching would be given now."""
    told = sorted(
        (d.digest, d.class_name, d.outline, d.part, *([d.mask] if d.mask else []))
        for d in draft.named
    )
    return _fingerprint([draft.trained.digest if draft.trained else "", told])


def next_step(draft: ProductDraft) -> DraftStep | None:
    """The first step whose result is not there, or is of something older; None: all is live.

    The back-test is never next: a product that was never on a line has nothing to be tried on.
    """
    if not draft.kept:
        return DraftStep.PICTURES
    if draft.trained is None or draft.trained.pictures != pictures_of(draft):
        return DraftStep.TRAIN
    if draft.named and (draft.taught is None or draft.taught.lessons != lessons_of(draft)):
        return DraftStep.TEACH
    if draft.checked is None or draft.checked.errors:
        return DraftStep.POLICY
    wanted = (expert_of(draft), draft.checked.policy_hash)
    if draft.live is None or (draft.live.expert, draft.live.policy_hash) != wanted:
        return DraftStep.LIVE
    return None


def expert_of(draft: ProductDraft) -> str:
    """Digest of the expert that the draft would put on the line; empty before it is trained."""
    if draft.taught is not None and draft.named:
        return draft.taught.expert
    return draft.trained.digest if draft.trained else ""


def _fingerprint(values: object) -> str:
    return hashlib.sha256(json.dumps(values, default=list).encode()).hexdigest()[:32]


class DraftWork(_Record):
    """A step that is being done by a process of its own, or was done last."""

    step: DraftStep
    stage: str = ""
    """What the step is at, in the words of the command."""
    done: int = 0
    total: int = 0
    began_at: datetime
    ended_at: datetime | None = None
    error: str = ""
    running: bool = False


class ProductDrafts(Protocol):
    """Where drafts are kept and gone on with. Every method blocks; none takes more than moments.

    Every method that takes a key raises ``DraftError`` where there is no such draft.
    """

    def list(self) -> "Sequence[ProductDraft]":
        """Every draft, the newest first."""
        ...

    def begin(self, product: str, by: str) -> ProductDraft:
        """A new draft, or the one that there is of this product."""
        ...

    def read(self, key: str) -> ProductDraft:
        """A draft as it stands."""
        ...

    def work(self, key: str) -> DraftWork | None:
        """The step that runs, or ran last."""
        ...

    def busy(self) -> str:
        """The product of the draft that a step runs for now; empty where none runs."""
        ...

    def add_normal(self, key: str, name: str, body: bytes) -> ProductDraft:
        """Take a picture of a normal part; the same picture again changes nothing."""
        ...

    def keep(self, key: str, name: str, kept: bool) -> ProductDraft:
        """Take a normal out of the next training, or in again."""
        ...

    def add_defect(self, key: str, name: str, body: bytes) -> ProductDraft:
        """Take a picture of a defect."""
        ...

    def name_defect(
        self, key: str, name: str, class_name: str, outline: Sequence[Corner]
    ) -> ProductDraft:
        """Say what a defect is called and where it is; no outline: the expert says where."""
        ...

    def remove_defect(self, key: str, name: str) -> ProductDraft:
        """Forget a picture of a defect."""
        ...

    def set_class(self, key: str, class_name: str, meaning: DraftClass) -> ProductDraft:
        """Say what a kind of defect means for a part."""
        ...

    def set_rate(self, key: str, rate: float) -> ProductDraft:
        """Say which share of normal parts may be called odd."""
        ...

    def picture(self, key: str, kind: PictureKind, name: str) -> bytes:
        """The bytes of one of its pictures."""
        ...

    def policy(self, key: str) -> str:
        """The text of its policy, drafted from its classes unless somebody wrote it."""
        ...

    def write_policy(self, key: str, text: str) -> ProductDraft:
        """Take a text for its policy, and check it; an empty one is drafted anew."""
        ...

    def start(self, key: str, step: DraftStep, by: str, reason: str) -> None:
        """Let a process of its own do a step.

        Raises:
            DraftError: what the step needs is not there, or a step runs already.
        """
        ...

    def cancel(self, key: str) -> bool:
        """End the step that runs; whether one did."""
        ...

    def discard(self, key: str) -> None:
        """Forget a draft and its pictures; what is live stays so."""
        ...
