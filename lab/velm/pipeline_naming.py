"""Second stage: what the gate let through is named; what was answered before is not asked again."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from lab.datasets.folders import GOOD
from lab.velm.answers_cache import Cache, CachedEndpoint, digest_code, digest_json, identity_of
from lab.velm.pipeline import PipelineOptions
from lab.velm.pipeline_inspect import Inspected, InspectedObject
from lab.velm.pipeline_references import RandomTrainingPicture, make_bundle
from prompts import PictureLayout, render
from serving.naming.base import NORMAL, Classifier
from serving.naming.calls import Question
from serving.naming.cascade import CascadeClassifier, CascadeStage
from serving.naming.completion import estimate_tokens
from serving.naming.prototypes import NearestReferences, PrototypeClassifier
from serving.naming.settings import EndpointSettings
from serving.naming.velm import VelmClassifier
from streams.events import Classification
from streams.ports import ClassificationRequest

KIND: Final = "named"
LOCAL_AT_ONCE: Final = 1
"""One after another, so that the time of one is what it takes."""
LOCAL_TIMEOUT_S: Final = 300.0
UNANSWERED: Final = "unanswered"


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

    @property
    def answer(self) -> str:
        """The answer in the words of the descriptions, ``good`` where the picture passed."""
        if self.inspected.passed:
            return GOOD
        if self.classification is None:
            return UNANSWERED
        name = self.classification.class_name
        return GOOD if name == NORMAL else self.inspected.item.described.label_of(name)


@dataclass(frozen=True)
class CallPlan:
    """What a stage will do, and at most cost, before it starts."""

    pictures: int = 0
    passed: int = 0
    known: int = 0
    """Answered in an earlier run."""
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    """What the longest answers that are allowed would take."""
    cost: float = 0.0


class ObjectNaming:
    """How the pictures of one object are named, and what is known of them already.

    Args:
        inspected: the object's pictures after the first stage.
        options: which classifier, which endpoint.
        cache: of answers.
    """

    def __init__(self, inspected: InspectedObject, options: PipelineOptions, cache: Cache) -> None:
        self._run = inspected.run
        self.pictures = inspected.pictures
        self._options = options
        self._cache = cache
        visible = options.velm.parts.reference_image and options.velm.protocol == "andon"
        self._bundle = None
        if options.teaches or visible:
            self._bundle = make_bundle(inspected, options.regions == "oracle", cache)
        self._references: RandomTrainingPicture | NearestReferences
        if self._bundle is None or options.velm.protocol == "velm":
            self._references = RandomTrainingPicture(self._run, options.seed)
        else:
            self._references = NearestReferences({self.name: self._bundle})
        self._identity = self._identify()

    @property
    def name(self) -> str:
        """The name of the object whose pictures are named."""
        return self._run.name

    def plan(self) -> CallPlan:
        """How many calls there will be, and what they cost at most; nothing is asked."""
        passed = sum(p.passed for p in self.pictures)
        waiting = sum(not p.passed and self.known(p) is None for p in self.pictures)
        plan = CallPlan(len(self.pictures), passed, len(self.pictures) - passed - waiting)
        endpoint = self._options.asked_endpoint
        if endpoint is None:
            return plan
        calls = waiting * self._options.velm.calls
        tokens_in, tokens_out = (calls * tokens for tokens in self._estimate(endpoint))
        cost = endpoint.prices.cost(tokens_in, tokens_out)
        return replace(plan, calls=calls, tokens_in=tokens_in, tokens_out=tokens_out, cost=cost)

    def known(self, picture: Inspected) -> AnsweredPicture | None:
        """The answer of an earlier run, or of the gate; None where somebody must be asked."""
        if picture.passed:
            return AnsweredPicture(picture, None)
        kept = self._cache.get(KIND, self.key_of(picture), tuple[Classification, tuple[Call, ...]])
        if kept is None:
            return None
        classification, calls = kept
        return AnsweredPicture(
            picture, classification, tuple(replace(call, is_new=False) for call in calls)
        )

    def keep(self, answered: AnsweredPicture) -> None:
        """Remember an answer for later runs."""
        kept = (answered.classification, answered.calls)
        self._cache.put(KIND, self.key_of(answered.inspected), kept)

    def key_of(self, picture: Inspected) -> str:
        """Everything that the answer depends on."""
        region = picture.inspection.region
        mask = None if region is None else [region.mask_rle, region.mask_height, region.mask_width]
        return digest_json(picture.sha256, mask, self._identity)

    def request_of(self, picture: Inspected, timeout_s: float) -> ClassificationRequest:
        """What the line would send."""
        image = picture.item.sample.path.read_bytes()
        deadline = datetime.now(UTC) + timedelta(seconds=timeout_s)
        frame_id = UUID(bytes=hashlib.sha256(picture.item.key.encode()).digest()[:16])
        texts = self._run.described.texts
        return ClassificationRequest(frame_id, image, picture.inspection, texts, deadline)

    @property
    def limits(self) -> tuple[int, float]:
        """Pictures at once, and seconds for one."""
        endpoint = self._options.asked_endpoint
        if endpoint is None:
            return LOCAL_AT_ONCE, LOCAL_TIMEOUT_S
        calls = self._options.velm.calls
        at_once = max(1, endpoint.max_concurrency // calls)
        return at_once, endpoint.timeout_s * endpoint.attempts + 60.0 * endpoint.attempts

    def classifier(self) -> Classifier:
        """A new classifier, not yet started: one event loop each."""
        options = self._options
        bundles = {} if self._bundle is None else {self.name: self._bundle}
        local = PrototypeClassifier(bundles, refine=options.regions == "expert")
        if options.asked_endpoint is None:
            return local
        endpoint = CachedEndpoint(options.asked_endpoint, self._cache)
        velm = VelmClassifier(endpoint, options.velm, self._references)
        if options.classifier == "velm":
            return velm
        threshold = options.cascade.thresholds.get("prototypes", 0.0)
        return CascadeClassifier(
            [CascadeStage(local, threshold), CascadeStage(velm)],
            options.cascade.model_copy(update={"time_share": 1.0, "when_down": "unknown"}),
        )

    def _identify(self) -> str:
        options, endpoint = self._options, self._options.asked_endpoint
        found: dict[str, object] = {
            "classifier": options.classifier,
            "texts": asdict(self._run.described.texts),
            "code": digest_code("serving/naming/*.py", "prompts/**/*.jinja", "prompts/render.py"),
        }
        bundle = self._bundle and self._bundle.name
        if options.teaches:
            found |= {"exemplars": bundle, "regions": options.regions}
        if endpoint is not None:
            found |= {"velm": options.velm.model_dump(mode="json"), "zone": endpoint.zone.value}
            found["endpoint"] = identity_of(endpoint)
            if options.velm.parts.reference_image:
                found["references"] = (
                    self._references.identity
                    if isinstance(self._references, RandomTrainingPicture)
                    else bundle
                )
        if options.classifier == "cascade":
            found["threshold"] = options.cascade.thresholds.get("prototypes", 0.0)
        return digest_json(found)

    def _estimate(self, endpoint: EndpointSettings) -> tuple[int, int]:
        """Tokens of one question, as the endpoint itself sets them aside."""
        velm = self._options.velm
        layout = PictureLayout(zoom=velm.visual.zoom, numbered=velm.visual.numbered)
        prompt = render(self._run.described.texts, velm.parts, velm.protocol, layout)
        shown = 1 + velm.parts.reference_image + velm.parts.visual_prompt + velm.visual.zoom
        question = Question(prompt.system, prompt.text, ("",) * shown, tuple(prompt.labels))
        return estimate_tokens(question, endpoint)


def plan_of(namings: Sequence[ObjectNaming]) -> CallPlan:
    """The sum over the objects."""
    return CallPlan(*map(sum, zip(*(astuple(naming.plan()) for naming in namings), strict=True)))
