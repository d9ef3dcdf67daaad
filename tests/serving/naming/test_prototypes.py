"""The stage ``prototypes`` on drawn parts, with the real backbone."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from serving.naming import prototypes
from serving.naming.base import UNKNOWN, Classifier
from serving.naming.exemplars import ExemplarError, load_bundle
from serving.naming.prototypes import NearestReferences, PrototypeClassifier
from serving.naming.teaching import Lesson, teach_product
from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.ids import new_frame_id
from streams.ports import ClassificationRequest, ClassificationTexts, ClassText, Failure
from streams.regions import region_from_mask
from tests.serving.naming.pictures import KINDS, plate, png, spoiled


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds with three drawn examples each, 16 normals."""
    lessons = [
        Lesson(kind, png(image), mask, f"{kind}-{seed}")
        for kind in KINDS
        for seed in range(3)
        for image, mask in [spoiled(kind, seed)]
    ]
    normals = [png(plate(i)) for i in range(16)]
    return teach_product(tmp_path_factory.mktemp("bundles"), "plate", lessons, normals=normals)


def request(
    image: bytes,
    mask: npt.NDArray[np.bool_] | None,
    classes: tuple[str, ...] = KINDS,
    product: str = "plate",
) -> ClassificationRequest:
    region = region_from_mask(mask, *mask.shape) if mask is not None else None
    inspection = Inspection(
        score=2, threshold=1, p_value=0, anomalous=True, region=region, expert_version="e"
    )
    texts = ClassificationTexts(product, "", classes=tuple(ClassText(c, c, "") for c in classes))
    deadline = datetime.now(UTC) + timedelta(minutes=5)
    return ClassificationRequest(new_frame_id(), image, inspection, texts, deadline)


async def ask(
    path: Path | None, requests: list[ClassificationRequest], **options: Any
) -> list[Classification | Failure]:
    classifier = PrototypeClassifier({"plate": path} if path else {}, **options)
    assert isinstance(classifier, Classifier)
    await classifier.start()
    try:
        return await asyncio.gather(*(classifier.classify(r, 120) for r in requests))
    finally:
        await classifier.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("refine", [True, False])
async def test_names_other_parts(bundle: Path, refine: bool) -> None:
    asked = [(kind, *spoiled(kind, seed)) for kind in KINDS for seed in range(20, 26)]
    answers = await ask(bundle, [request(png(i), m) for _, i, m in asked], refine=refine)
    right = 0
    for (kind, _, _), answer in zip(asked, answers, strict=True):
        assert isinstance(answer, Classification)
        assert answer.exemplars_version == bundle.name
        assert set(answer.candidates) == set(KINDS)
        right += max(answer.candidates, key=lambda c: answer.candidates[c]) == kind
    assert right >= 15


@pytest.mark.asyncio
async def test_a_batch_answers_as_single_requests_do(bundle: Path) -> None:
    asked = [request(png(i), m) for i, m in (spoiled(kind, 30) for kind in KINDS)]
    together = await ask(bundle, asked)
    alone = [(await ask(bundle, [one], batch=1))[0] for one in asked]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, Classification)
        assert isinstance(other, Classification)
        assert one.class_name == other.class_name
        assert one.confidence == pytest.approx(other.confidence, abs=0.02)


@pytest.mark.asyncio
async def test_only_classes_of_the_policy_are_answered(bundle: Path) -> None:
    image, mask = spoiled("hole", 40)
    folded, none, strange = await ask(
        bundle,
        [
            request(png(image), mask, ("Hole.", "line", "dent")),
            request(png(image), mask, ("dent",)),
            request(png(image), mask, product="another"),
        ],
        least_known=0.0,
    )
    assert isinstance(folded, Classification)
    assert set(folded.candidates) == {"Hole.", "line"}
    for answer, why in ((none, "no class of the policy"), (strange, "'another'")):
        assert isinstance(answer, Classification)
        assert (answer.class_name, answer.confidence) == (UNKNOWN, 0.0)
        assert why in answer.unknown_reason


@pytest.mark.asyncio
async def test_a_class_that_the_policy_has_no_more_is_not_called_by_another_name(
    bundle: Path,
) -> None:
    """Among the others alone one of them would be the best, and might pass."""
    image, mask = spoiled("hole", 40)
    left, there = await ask(
        bundle,
        [request(png(image), mask, ("line", "stain")), request(png(image), mask)],
        least_known=0.0,
    )
    assert isinstance(there, Classification)
    assert there.class_name == "hole"
    assert isinstance(left, Classification)
    assert left.class_name == UNKNOWN
    assert "most like 'hole'" in left.unknown_reason


@pytest.mark.asyncio
async def test_what_it_is_not_sure_to_know_is_unknown(bundle: Path) -> None:
    image, mask = spoiled("line", 41)
    (answer,) = await ask(bundle, [request(png(image), mask)], least_known=1.0)
    assert isinstance(answer, Classification)
    assert answer.class_name == UNKNOWN
    assert "none of the examples" in answer.unknown_reason


@pytest.mark.asyncio
async def test_bad_pictures_fail_alone(bundle: Path) -> None:
    image, mask = spoiled("hole", 42)
    bad, good, tiny = await ask(
        bundle,
        [
            request(b"answer: pass", mask),
            request(png(image), None),
            request(png(image[:1, :1]), np.ones((1, 1), np.bool_)),
        ],
    )
    assert isinstance(bad, Failure)
    assert bad.reason_code is ReasonCode.UNDECODABLE_IMAGE
    assert isinstance(good, Classification)
    assert isinstance(tiny, Classification)


@pytest.mark.asyncio
async def test_late_is_a_failure_and_the_stage_lives_on(bundle: Path) -> None:
    image, mask = spoiled("hole", 43)
    classifier = PrototypeClassifier({"plate": bundle})
    await classifier.start()
    try:
        late = await classifier.classify(request(png(image), mask), 0.0)
        assert isinstance(late, Failure)
        assert late.reason_code is ReasonCode.LATE
        answer = await classifier.classify(request(png(image), mask), 120)
        assert isinstance(answer, Classification)
        assert answer.latency_ms > 0
    finally:
        await classifier.close()


@pytest.mark.asyncio
async def test_a_full_queue_fails_at_once(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prototypes, "QUEUE_LIMIT", 2)
    image, mask = spoiled("hole", 44)
    answers = await ask(bundle, [request(png(image), mask) for _ in range(6)])
    failures = [a for a in answers if isinstance(a, Failure)]
    assert 0 < len(failures) < 6
    assert all(f.retryable for f in failures)


@pytest.mark.asyncio
async def test_a_product_without_a_bundle_is_unknown_and_a_missing_bundle_refuses_the_start(
    bundle: Path,
) -> None:
    image, mask = spoiled("hole", 45)
    (answer,) = await ask(None, [request(png(image), mask)])
    assert isinstance(answer, Classification)
    assert (answer.class_name, answer.exemplars_version) == (UNKNOWN, "")
    with pytest.raises(ExemplarError):
        await PrototypeClassifier({"plate": bundle.parent / "absent"}).start()


@pytest.mark.parametrize("options", [{"least_known": 1.5}, {"batch": 0}, {"threads": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"least"):
        PrototypeClassifier({}, **options)


def test_the_nearest_reference_is_the_picture_itself(bundle: Path) -> None:
    references = NearestReferences({"plate": bundle})
    references.prepare()
    normals = load_bundle(bundle).normals
    assert references.reference("plate", normals[5].image) == normals[5].image
    assert references.reference("other", normals[5].image) is None
