"""The boundaries of the flow. Adapters live in other packages; ``andon`` joins them.

Expected failures come back as values (``Failure``); an exception through a port is a defect
of the adapter, and the agents treat it as ``UnavailableError``.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

from streams.changeovers import ChangeoverStep
from streams.codes import Action, FallbackKind, ReasonCode, Severity
from streams.envelope import Message
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    Classification,
    CountedPart,
    DeadLetter,
    Decision,
    GoldenCheck,
    Inspection,
    Review,
    ShotVerdict,
)
from streams.failures import Failure as Failure

# --- Detect -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class InspectionRequest:
    """One image to score. ``image`` is the encoded file as captured."""

    frame_id: UUID
    product_id: str
    image: bytes
    trace: str = ""  # the traceparent of who asks; empty: not traced


@runtime_checkable
class VisionExpert(Protocol):
    """Scores images; batches inside."""

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        """One answer per request, in order, within ``timeout_s`` seconds."""
        ...

    async def warm(
        self, product_id: str, version: str, timeout_s: float, station: str = ""
    ) -> str | Failure:
        """Have the product's expert in force loaded and warmed up wherever it is scored.

        Args:
            product_id: whose expert.
            version: the version that it must be, or how it begins; empty: any.
            timeout_s: seconds that it may take.
            station: whose recipe this is from now on; its product stays in memory until the
                station names another. Empty: nobody's.

        Returns:
            The version that every replica has; a ``Failure`` says why there is none such.
        """
        ...


# --- Classify ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassText:
    """One anomaly class as the policy words it."""

    name: str
    display_name: str
    description: str


@dataclass(frozen=True)
class ClassificationTexts:
    """What a classifier may know of a product, from its policy."""

    product_id: str
    policy_hash: str
    normal_description: str = ""
    strategy: str = ""
    classes: tuple[ClassText, ...] = ()
    egress: str = "none"  # what may leave the plant: none, crop or full
    mm_per_pixel: float | None = None
    stop_rate: float | None = None  # where more normal parts look as odd, any class passes


@dataclass(frozen=True)
class ClassificationRequest:
    """One anomalous frame to name before ``deadline``, when its fallback decides."""

    frame_id: UUID
    image: bytes
    inspection: Inspection
    texts: ClassificationTexts
    deadline: datetime
    trace: str = ""  # the traceparent of who asks; empty: not traced


@runtime_checkable
class AnomalyClassifier(Protocol):
    """Names anomalies."""

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        """One answer per request, in order, within ``timeout_s`` seconds."""
        ...


# --- Act --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Situation:
    """Everything a policy may look at. Exactly one of: normal, classified, fallback."""

    station: str = ""
    lot_id: str = ""
    inspection: Inspection | None = None
    classification: Classification | None = None
    fallback: FallbackKind | None = None
    failure: Failure | None = None
    """With a fallback: what went wrong, for the reason in words."""
    captured_at: datetime | None = None
    """Timezone-aware; policies with shifts need it."""
    shot: str = ""
    """What the station calls the shot, where a part has several."""


@dataclass(frozen=True)
class Outcome:
    """What a policy says about one situation."""

    action: Action
    severity: Severity
    class_name: str = ""
    class_id: int = -1
    reason_code: ReasonCode = ReasonCode.NONE
    reason: str = ""
    rule: str = ""


@dataclass(frozen=True)
class Combination:
    """What a policy says about a part of several shots."""

    outcome: Outcome
    deciding: int
    """Index of the shot that decided."""
    each: tuple[Outcome, ...]
    """What each shot contributed, in their order; a missing one its fallback."""


@dataclass(frozen=True)
class LimitVerdict:
    """The limits after one more part."""

    exceeded: frozenset[str] = frozenset()
    """Every limit that is exceeded now."""
    alerts: tuple[Alert, ...] = ()
    """Those that were not before. The ids derive from limit and part: redelivery repeats them."""


class Policy(Protocol):
    """A resolved policy. ``decide`` is pure, total and deterministic."""

    @property
    def product_id(self) -> str: ...
    @property
    def policy_hash(self) -> str: ...
    @property
    def audit_share(self) -> float:
        """Share of normal frames kept as pictures, 0 to 1."""
        ...

    @property
    def window_parts(self) -> int | None:
        """Parts in the longest window of its limits; 0 without limits, None without a policy."""
        ...

    def texts(self, station: str) -> ClassificationTexts: ...
    def decide(self, situation: Situation) -> Outcome: ...

    def combine(self, shots: Sequence[ShotVerdict | None]) -> Combination:
        """The one outcome of a part. Pure, total and deterministic like ``decide``.

        Args:
            shots: one for each expected shot, in order, at least one; None where nothing came.
        """
        ...

    def golden(self, part_id: str, action: Action, severity: Severity) -> GoldenCheck | None:
        """Whether a known part was judged as it should be; None for any other part. Pure."""
        ...

    def observe(
        self, decision: Decision, before: Sequence[CountedPart], exceeded: frozenset[str]
    ) -> LimitVerdict:
        """One more part of the product. Pure.

        Args:
            decision: of a part that is not among ``before``.
            before: the parts before it, newest last; at least the longest window less one.
            exceeded: what was exceeded after them.
        """
        ...


class PolicySource(Protocol):
    """The policies in force."""

    async def start(self) -> None:
        """Return once every policy in force has been read."""
        ...

    async def stop(self) -> None: ...
    def for_product(self, product_id: str) -> Policy:
        """The policy in force; for a product without one, a policy that holds every part."""
        ...

    def versions(self) -> Mapping[str, str]:
        """The hash of the policy in force, by product."""
        ...

    def tell(self, on_down: Callable[[bool], None]) -> None:
        """Call ``on_down`` with True when the policies are no longer followed, and with False once
        they are again."""
        ...


class Changelog(Protocol):
    """The parts that the limits role counted, by partition of ``andon.parts``."""

    async def read(self, partition: int) -> Iterable[CountedPart]:
        """What stands at the broker now, the newest part per slot. Raises ``UnavailableError``."""
        ...


# --- Record -----------------------------------------------------------------------------------

MAX_OBJECT_BYTES = 64 << 20
"""Largest object that is read into memory; as much is set aside for each."""


@runtime_checkable
class ImageStore(Protocol):
    """Objects by key. Keys derive from frame ids (``streams.ids``)."""

    async def put(self, key: str, body: bytes, content_type: str) -> None: ...
    async def get(self, key: str, at_most: int = MAX_OBJECT_BYTES) -> bytes:
        """Raises ``KeyError`` when absent, ``UnavailableError`` when the store is down, and
        ``PermanentError`` for an object of more than ``at_most`` bytes, which is not read."""
        ...

    async def exists(self, key: str) -> bool: ...


class HistoryWriter(Protocol):
    """Insert-only, idempotent by each event's own identity. Raises ``UnavailableError``."""

    async def add_anomalies(self, events: Sequence[Anomaly]) -> None: ...
    async def add_decisions(self, events: Sequence[Decision]) -> None: ...
    async def add_verdicts(self, events: Sequence[ShotVerdict]) -> None: ...
    async def add_acknowledgements(self, events: Sequence[Acknowledgement]) -> None: ...
    async def add_reviews(self, events: Sequence[Review]) -> None: ...
    async def add_dead_letters(self, events: Sequence[tuple[DeadLetter, str]]) -> None:
        """Each letter with the object key under which its original bytes are kept."""
        ...

    async def add_alerts(self, events: Sequence[Alert]) -> None: ...
    async def add_changeovers(self, events: Sequence[ChangeoverStep]) -> None: ...


# --- The bus ----------------------------------------------------------------------------------


class Publisher(Protocol):
    """Sends messages; returns once the broker has them."""

    async def send(self, topic: str, message: Message) -> None:
        """Raises ``UnavailableError`` when the broker does not take it in time."""
        ...


class Announcer(Protocol):
    """Tells programs outside Andon what was decided."""

    async def announce(self, topic: str, payload: bytes) -> None:
        """Returns once the broker has it, perhaps twice. Raises ``TransientError`` when it is not
        told in time, and ``PermanentError`` for a message that the broker never takes."""
        ...


# --- The edge ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trigger:
    """What the PLC wrote with one trigger."""

    plc_boot_id: int
    trigger_seq: int
    part_id: str
    lot_id: str
    product_id: str
    encoder_pos: int
    takt_ms: int
    given_at: float | None = field(default=None, compare=False)
    """When it was given, by ``time.monotonic``; None where nobody told."""
    shot: str = field(default="", compare=False)
    """The name of the shot that is to be taken, where a part has several."""


@dataclass(frozen=True)
class Picture:
    """One captured image, encoded as the camera gave it."""

    data: bytes
    content_type: str
    name: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


class Camera(Protocol):
    """One camera at one station."""

    async def open(self) -> None: ...
    async def capture(self, trigger: Trigger) -> Picture:
        """Expose once. Raises ``connectors.errors.CaptureError``."""
        ...

    async def close(self) -> None: ...


class DecisionFeed(Protocol):
    """What one line is told: decisions in order per station, alerts that ask for a stop, and what
    other stages say to a change of the recipe."""

    def __aiter__(self) -> AsyncIterator[Decision | Alert | ChangeoverStep]: ...
