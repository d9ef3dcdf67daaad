"""Second stage: what the gate let through is named; what was answered before is not asked again."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache as cached
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from lab.velm.answers_cache import Cache, CachedEndpoint, digest_of, identity_of
from lab.velm.pipeline import ObjectRun, PipelineOptions
from lab.velm.pipeline_inspect import Inspected
from lab.velm.pipeline_references import NearestInBundle, RandomTrainingPicture, make_bundle
from prompts import PictureLayout, render
from serving.naming.base import Classifier
from serving.naming.cascade import CascadeClassifier, CascadeStage
from serving.naming.completion import Question, estimate_tokens
from serving.naming.prototypes import PrototypeClassifier
from serving.naming.velm import VelmClassifier
from streams.events import Classification
from streams.ports import ClassificationRequest

KIND: Final = "named"
LOCAL_AT_ONCE: Final = 1
"""One after another, so that the time of one is what it takes."""
LOCAL_TIMEOUT_S: Final = 300.0
_SOURCES: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Call:
    """One reply that a picture's naming used."""

    latency_ms: float
    tokens_in: int
    tokens_out: int
    is_new: bool
    """Asked in this run; else it came from the cache."""


@dataclass(frozen=True)
class AnsweredPicture:
    """One picture at the end of the pipeline."""

    inspected: Inspected
    classification: Classification | None
    """None where the gate passed the picture, or nobody answered."""
    calls: tuple[Call, ...] = ()
    failure: str = ""
    """Why nobody answered."""


@dataclass(frozen=True)
class CallPlan:
    """What a stage will do, and at most cost, before it starts."""

    pictures: int
    passed: int
    known: int
    """AnsweredPicture in an earlier run."""
    calls: int
    tokens_in: int
    tokens_out: int
    """What the longest answers that are allowed would take."""
    cost: float

    def __add__(self, other: "CallPlan") -> "CallPlan":
        mine, theirs = asdict(self), asdict(other)
        return CallPlan(**{name: mine[name] + theirs[name] for name in mine})


class _Kept(BaseModel):
    classification: Classification
    calls: list[tuple[float, int, int]]
    """Milliseconds, tokens in, tokens out."""


class ObjectNaming:
    """How the pictures of one object are named, and what is known of them already.

    Args:
        run: for its words and its normal pictures.
        inspected: the pictures to be scored, and the exemplars, after the first stage.
        options: which classifier, which endpoint.
        cache: of answers.
    """

    def __init__(
        self,
        run: ObjectRun,
        inspected: tuple[Sequence[Inspected], Sequence[Inspected]],
        options: PipelineOptions,
        cache: Cache,
    ) -> None:
        self.run = run
        self.pictures = tuple(inspected[0])
        self._options = options
        self._cache = cache
        self._bundle = self._make_bundle(inspected[1])
        self._references = self._make_references()
        self._identity = self._identify()

    @property
    def name(self) -> str:
        """The name of the object whose pictures are named."""
        return self.run.name

    def plan(self) -> CallPlan:
        """How many calls there will be, and what they cost at most; nothing is asked."""
        waiting = [p for p in self.pictures if not p.passed and self.known(p) is None]
        passed = sum(p.passed for p in self.pictures)
        known = len(self.pictures) - passed - len(waiting)
        if not self._options.asks_endpoint:
            return CallPlan(len(self.pictures), passed, known, 0, 0, 0, 0.0)
        calls = len(waiting) * self._options.velm.calls
        tokens_in, tokens_out = self._estimate()
        assert self._options.endpoint is not None
        cost = self._options.endpoint.prices.cost(tokens_in, tokens_out) * calls
        pictures = len(self.pictures)
        return CallPlan(pictures, passed, known, calls, tokens_in * calls, tokens_out * calls, cost)

    def known(self, picture: Inspected) -> AnsweredPicture | None:
        """The answer of an earlier run, or of the gate; None where somebody must be asked."""
        if picture.passed:
            return AnsweredPicture(picture, None)
        kept = self._cache.get(KIND, self.key_of(picture), _Kept)
        if kept is None:
            return None
        calls = tuple(Call(*call, is_new=False) for call in kept.calls)
        return AnsweredPicture(picture, kept.classification, calls)

    def keep(self, answered: AnsweredPicture) -> None:
        """Remember an answer for later runs."""
        assert answered.classification is not None
        calls = [(c.latency_ms, c.tokens_in, c.tokens_out) for c in answered.calls]
        kept = _Kept(classification=answered.classification, calls=calls)
        self._cache.put(KIND, self.key_of(answered.inspected), kept)

    def key_of(self, picture: Inspected) -> str:
        """Everything that the answer depends on."""
        region = picture.inspection.region
        mask = None if region is None else [region.mask_rle, region.mask_height, region.mask_width]
        return digest_of(picture.sha256, mask, self._identity)

    def request_of(self, picture: Inspected, timeout_s: float) -> ClassificationRequest:
        """What the line would send."""
        image = picture.item.sample.path.read_bytes()
        deadline = datetime.now(UTC) + timedelta(seconds=timeout_s)
        frame_id = UUID(bytes=hashlib.sha256(picture.item.key.encode()).digest()[:16])
        texts = self.run.described.texts
        return ClassificationRequest(frame_id, image, picture.inspection, texts, deadline)

    @property
    def limits(self) -> tuple[int, float]:
        """Pictures at once, and seconds for one."""
        endpoint = self._options.endpoint
        if not self._options.asks_endpoint or endpoint is None:
            return LOCAL_AT_ONCE, LOCAL_TIMEOUT_S
        calls = self._options.velm.calls
        at_once = max(1, endpoint.max_concurrency // calls)
        return at_once, endpoint.timeout_s * endpoint.attempts + 60.0 * endpoint.attempts

    def classifier(self) -> Classifier:
        """A new classifier, not yet started: one event loop each."""
        options = self._options
        bundles = {} if self._bundle is None else {self.run.name: self._bundle}
        local = PrototypeClassifier(bundles, refine=options.regions == "expert")
        if not options.asks_endpoint:
            return local
        assert options.endpoint is not None
        endpoint = CachedEndpoint(options.endpoint, self._cache)
        velm = VelmClassifier(endpoint, options.velm, self._references)
        if options.classifier == "velm":
            return velm
        threshold = options.cascade.thresholds.get("prototypes", 0.0)
        return CascadeClassifier(
            [CascadeStage(local, threshold), CascadeStage(velm)],
            options.cascade.model_copy(update={"time_share": 1.0, "when_down": "unknown"}),
        )

    def _make_bundle(self, exemplars: Sequence[Inspected]) -> Path | None:
        options = self._options
        shown = options.velm.parts.reference_image and options.velm.protocol == "andon"
        if not options.teaches and not shown:
            return None
        return make_bundle(self.run, exemplars, options.regions == "oracle", self._cache)

    def _make_references(self) -> "RandomTrainingPicture | NearestInBundle":
        if self._options.velm.protocol == "velm" or self._bundle is None:
            return RandomTrainingPicture(self.run, self._options.seed)
        return NearestInBundle(self.run.name, self._bundle)

    def _identify(self) -> str:
        options = self._options
        found: dict[str, object] = {
            "classifier": options.classifier,
            "texts": asdict(self.run.described.texts),
            "code": _code_digest(),
        }
        if options.teaches:
            assert self._bundle is not None
            found |= {"exemplars": self._bundle.name, "drawn": options.regions == "oracle"}
        if options.asks_endpoint:
            assert options.endpoint is not None
            found |= {
                "velm": options.velm.model_dump(mode="json"),
                "endpoint": identity_of(options.endpoint),
                "zone": options.endpoint.zone.value,
            }
            if options.velm.parts.reference_image:
                found["references"] = self._references.identity
        if options.classifier == "cascade":
            found["threshold"] = options.cascade.thresholds.get("prototypes", 0.0)
        return digest_of(found)

    def _estimate(self) -> tuple[int, int]:
        """Tokens of one question, as the endpoint itself sets them aside."""
        velm, endpoint = self._options.velm, self._options.endpoint
        assert endpoint is not None
        layout = PictureLayout(zoom=velm.visual.zoom, numbered=velm.visual.numbered)
        prompt = render(self.run.described.texts, velm.parts, velm.protocol, layout)
        shown = 1 + velm.parts.reference_image + velm.parts.visual_prompt + velm.visual.zoom
        question = Question(prompt.system, prompt.text, ("",) * shown, tuple(prompt.labels))
        return estimate_tokens(question, endpoint)


@cached
def _code_digest() -> str:
    """A digest of the code that turns a picture into an answer: a change means asking anew."""
    files = [
        *(_SOURCES / "serving/naming").glob("*.py"),
        *(_SOURCES / "prompts").rglob("*.jinja"),
        _SOURCES / "prompts/render.py",
    ]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()
