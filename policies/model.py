"""The policy language: one frozen document per product. The JSON Schema comes from here.

A policy's version is the hash of its resolved content.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from policies.egress import Egress
from streams.codes import Action, FallbackKind, Severity

RESERVED_CLASSES = ("normal", "unknown")
"""What a classifier may answer besides the policy's own classes."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""Identifier: lower case letters, digits, ``_``, ``-`` and ``.``; at most 64 characters."""
PlantName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
"""Product or class as the plant writes it; a file is held to ``streams.names`` beside."""
Line = Annotated[str, Field(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of text for people, without control characters."""
Prose = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
"""Text for people and for the prompt; line breaks allowed, other control characters not."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Money = Annotated[float, Field(ge=0.0, le=1e9)]
Condition = Annotated[str, Field(min_length=1, max_length=500)]
MillimetresPerPixel = Annotated[float, Field(gt=0.0, le=1000.0)]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
ACTIONS = (Action.PASS, Action.REWORK, Action.HOLD, Action.SCRAP)
"""Gravest last: what nobody could judge may still turn out worse than a part to rework."""
SEVERITIES = (Severity.NORMAL, Severity.NEGLIGIBLE, Severity.UNKNOWN, Severity.DEFECT)
"""Gravest last."""
Judged = tuple[Severity, Action]
"""What one shot of a part was judged."""


class Part(BaseModel):
    """Base of the document's parts: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class NormalPart(Part):
    """What a good part looks like."""

    description: Prose = ""
    """Goes into the classifier's prompt: what a normal part looks like."""
    false_alarm: Action = Action.PASS
    """Action when the classifier calls an anomalous frame normal."""


class AnomalyClass(Part):
    """One kind of anomaly and what it means for the product."""

    display_name: Line = ""
    """The name people and the prompt use; the class's own name when empty."""
    description: Prose = ""
    """Goes into the classifier's prompt: what the anomaly looks like."""
    severity: Literal[Severity.NORMAL, Severity.NEGLIGIBLE, Severity.DEFECT]
    """``normal``, ``negligible`` or ``defect``."""
    action: Action
    """What the line does: ``pass``, ``rework``, ``scrap`` or ``hold``."""
    id: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Number of the class towards the PLC; by default its place in the sorted names."""


class Rule(Part):
    """A refinement: the first rule whose condition holds decides instead of the class."""

    name: Name
    """Shown with the decision; unique in the policy."""
    when: Condition
    """CEL over what was measured, such as ``class == 'crack' && area_mm2 > 2``."""
    severity: Literal[Severity.NORMAL, Severity.NEGLIGIBLE, Severity.DEFECT] | None = None
    """Severity when the rule fires; that of the class when absent."""
    action: Action
    """What the line does when the rule fires."""
    because: Line = ""
    """Why, in the operator's words; shown with every decision the rule makes."""


class Zone(Part):
    """A polygon on the part. A region is in the first zone of the list that it touches."""

    name: Name
    """What conditions compare ``zone`` with."""
    unit: Literal["fraction", "px", "mm"] = "fraction"
    """Unit of the corners: fractions of the image's width and height, pixels or millimetres."""
    polygon: Annotated[tuple[tuple[float, float], ...], Field(min_length=3, max_length=64)]
    """Corners as [x, y] from the image's upper left; closed by itself."""
    stations: Annotated[tuple[Line, ...], Field(max_length=64)] = ()
    """Stations whose camera sees this zone here; all when empty."""


class Shift(Part):
    """A time of day, such as the night shift; may pass midnight."""

    start: Clock
    """First minute, ``HH:MM`` local time."""
    end: Clock
    """First minute after the shift, ``HH:MM`` local time."""


class ShotRule(Part):
    """A rule over the shots of a part: the first that holds for enough of them decides."""

    name: Name
    """Shown with the decision; unique among the rules over shots."""
    when: Condition
    """CEL over one shot, such as ``class == 'crack' && area_mm2 > 2``; also ``severity``,
    ``action`` and ``source``. It is asked of every shot whose values it needs are known."""
    at_least: Annotated[int, Field(ge=1, le=64)] = 1
    """The rule fires when the condition holds for at least so many shots."""
    severity: Literal[Severity.NORMAL, Severity.NEGLIGIBLE, Severity.DEFECT] | None = None
    """Severity of the part when the rule fires; that of the first such shot when absent."""
    action: Action
    """What the line does with the part when the rule fires."""
    because: Line = ""
    """Why, in the operator's words; shown with every decision the rule makes."""


class Shots(Part):
    """How the shots of one part make one decision, at stations that take several."""

    combine: Literal["worst_action", "any_defect"] = "worst_action"
    """The shot that decides when no rule does. ``worst_action``: the first with the gravest action
    (pass, rework, hold, scrap). ``any_defect``: the first with the gravest severity (normal,
    negligible, unknown, defect), so that a defect that was seen decides over a missing shot."""
    missing: Action | None = None
    """Action of a shot that was lost, late or not taken; ``fallbacks.no_decision`` when absent."""
    rules: Annotated[tuple[ShotRule, ...], Field(max_length=64)] = ()
    """Rules over the shots, before ``combine``; the first that holds decides."""

    def gravest(self, judged: Sequence[Judged]) -> Judged:
        """The one that decides by ``combine``; the first of equals."""
        return max(judged, key=self._gravity)

    def _gravity(self, judged: Judged) -> tuple[int, int]:
        severity, action = SEVERITIES.index(judged[0]), ACTIONS.index(judged[1])
        return (severity, action) if self.combine == "any_defect" else (action, severity)


class Unsure(Part):
    """What to do with an answer below a confidence."""

    below: Share = 0.0
    """Answers with a confidence below this are unsure; 0 accepts every answer."""
    action: Action = Action.HOLD
    """What the line does with a part whose class is unsure."""


class Fallbacks(Part):
    """Actions for parts that nobody could name in time."""

    unknown: Action = Action.HOLD
    """The classifier answered ``unknown`` or a class outside the policy."""
    unsure: Unsure = Unsure()
    late: Action = Action.HOLD
    """The classifier did not answer before the deadline, or is down."""
    expert_unavailable: Action = Action.HOLD
    """The vision expert did not answer, or the image could not be decoded."""
    no_decision: Action = Action.HOLD
    """Nothing behind the gateway answered, or what arrived could not be read."""

    def action_of(self, kind: FallbackKind) -> Action:
        """What the line does for one kind of fallback."""
        found: Action | Unsure = getattr(self, kind.value)
        return found.action if isinstance(found, Unsure) else found


class Limit(Part):
    """A limit across parts: an alert, and if asked a stop. It changes no part's decision."""

    more_than: Annotated[int, Field(ge=0, le=100_000)]
    """The alert is raised when more than this many parts count."""
    in_parts: Annotated[int, Field(ge=1, le=100_000)]
    """Length of the window in parts of the product on the line."""
    action: tuple[Action, ...] = ()
    """Count parts with these actions; every action but ``pass`` when empty."""
    classes: tuple[PlantName, ...] = ()
    """Count these classes only; all when empty."""
    each_class: bool = False
    """Count every class for itself instead of together."""
    stop: bool = False
    """Ask the line to stop as well."""


class Prices(Part):
    """What a part costs, for back-tests and for the choice of a false-alarm rate."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    """ISO 4217 code."""
    rework: Money = 0.0
    """One part reworked."""
    scrap: Money = 0.0
    """One part scrapped."""
    hold: Money = 0.0
    """One part held and looked at by a person."""
    escape: Money = 0.0
    """One defective part that reaches the customer."""
    false_stop: Money = 0.0
    """One good part that does not pass, beside the look at it; for the choice of a rate."""
    defect_share: Share = 0.01
    """Share of the parts that are defective; for the choice of a rate."""


class CertifiedClass(Part):
    """A class that may pass by itself, and the reviews that say so."""

    from_confidence: Share = 0.0
    """Answers at or above this confidence may pass."""
    reviews: Annotated[int, Field(ge=0)] = 0
    """Reviewed answers that were tested."""
    escapes: Annotated[int, Field(ge=0)] = 0
    """Of them: defects."""
    bound: Share = 1.0
    """Upper bound of the share of defects that the test gave."""


class Certificate(Part):
    """Which classes may pass by themselves; written by ``andon certify``, not by hand."""

    escape: Share
    """The promised share at most."""
    confidence: Share
    """The confidence of the promise."""
    of: Literal["each", "together"] = "each"
    """``each``: of the parts that pass under a class, defects; ``together``: of all defects, those
    that pass under any of the classes."""
    issued: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """Date of the certificate, UTC."""
    decides: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Hash of what the policy decides by; another policy needs another certificate."""
    expert_version: Line
    """The vision expert whose frames were reviewed; an answer on another's frame does not pass."""
    classifier: Line
    """The classifier that answered, and below what it answered with."""
    model: Line = ""
    prompt_hash: Line = ""
    exemplars_version: Line = ""
    classes: Annotated[dict[PlantName, CertifiedClass], Field(max_length=200)] = {}
    """The classes that may pass; ``normal`` among them for false alarms."""


class GoldenPart(Part):
    """A known part that is run to check the line: it counts in no statistics and no limit."""

    action: Annotated[tuple[Action, ...], Field(min_length=1, max_length=4)]
    """What the line may do with it, ``[pass]`` if it is good; anything else asks it to stop."""
    severity: Severity | None = None
    """Severity that its decision must have; any when absent."""


class Silence(Part):
    """A lint that is known and accepted."""

    code: Annotated[str, Field(pattern=r"^W\d{3}$")]
    """The lint's code, such as ``W201``."""
    at: Prose = ""
    """Path inside the file, such as ``classes.uneven``; the whole file when empty."""
    reason: Annotated[str, Field(min_length=3, max_length=500)]
    """Why it is accepted."""


class PolicyDocument(Part):
    """One product's policy with everything of its base file merged in."""

    policy: Literal[1] = 1
    """Version of the policy language."""
    product: PlantName
    """Product id as the PLC sends it, without the blanks or NULs that the PLC pads it with."""
    title: Line = ""
    """The product's name for people."""
    takt_s: Annotated[float, Field(gt=0.0, le=3600.0)] | None = None
    """Seconds between two parts; the back-test and the guide use it, the PLC sends its own."""
    mm_per_px: dict[Line, MillimetresPerPixel] = {}
    """Scale by station, millimetres per image pixel; ``default`` serves the others."""
    egress: Egress = "none"
    """What may leave the plant towards a language model: nothing, the outlined crop, the image."""
    audit_share: Share = 0.0
    """Share of the parts that pass which are drawn for blind audits."""
    second_review: Share | None = None
    """Share of the reviewed parts that a second person reviews blind; the console's by default."""
    stop_rate: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Share of normal parts that may be stopped, however many the expert sends to the classifier.
    A part that looks odd passes as normal (``normal.false_alarm``) when more normal parts than that
    look as odd, to expert and classifier together or, not calibrated together, to the expert. All
    that is sent may be stopped when absent."""
    prices: Prices | None = None
    normal: NormalPart = NormalPart()
    strategy: Prose = ""
    """Goes into the classifier's prompt: how to tell the classes apart."""
    classes: Annotated[dict[PlantName, AnomalyClass], Field(max_length=200)] = {}
    """The anomalies that have a name, by name."""
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    """IANA zone of the shifts, such as ``Europe/Berlin``."""
    shifts: Annotated[dict[Name, Shift], Field(max_length=16)] = {}
    """Times of day that conditions may compare ``shift`` with."""
    zones: Annotated[tuple[Zone, ...], Field(max_length=32)] = ()
    """Places on the part where limits differ; the first that a region touches counts."""
    rules: Annotated[tuple[Rule, ...], Field(max_length=200)] = ()
    """Refinements by what was measured; the first that holds decides."""
    fallbacks: Fallbacks = Fallbacks()
    shots: Shots = Shots()
    """How several shots of one part make one decision; of no meaning for a single shot."""
    limits: Annotated[dict[Name, Limit], Field(max_length=32)] = {}
    """Limits across parts, by name."""
    auto_pass: Literal["all", "certified"] = "all"  # noqa: S105 - no password
    """``certified``: an odd part passes only under a certified class, or by ``stop_rate``."""
    certificate: Certificate | None = None
    golden: Annotated[dict[Line, GoldenPart], Field(max_length=64)] = {}
    """Known good and known bad parts by serial, to be run at the start of each shift."""
    silence: Annotated[tuple[Silence, ...], Field(max_length=64)] = ()
    """Lints that are known and accepted, each with a reason."""

    @property
    def asks_certificate(self) -> bool:
        """Whether only certified classes pass by themselves."""
        return self.auto_pass == "certified"  # noqa: S105 - no password


Body = Mapping[str, object]
"""A resolved document as JSON-able data: what is hashed, stored and published."""


def body_of(document: PolicyDocument) -> dict[str, object]:
    """The document as plain data, defaults included, in an order that does not matter."""
    return document.model_dump(mode="json")


def content_hash(body: Body) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no blanks, UTF-8), 64 hexadecimal digits."""
    canonical = json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def class_ids(document: PolicyDocument) -> dict[str, int]:
    """Number of each class: the one it states, else the smallest free one in name order."""
    stated = {name: c.id for name, c in document.classes.items() if c.id is not None}
    taken = set(stated.values())
    free = (number for number in count() if number not in taken)
    return stated | {name: next(free) for name in sorted(document.classes) if name not in stated}
