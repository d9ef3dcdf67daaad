"""The steps from pictures to the line, each a function of a draft; a command and a page do both.

A step reads what the steps before it left in the workspace, and writes what it found there: it may
be done again at any time, and nothing is done twice that still holds (``next_step``).
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from andon.cli.policy import database
from andon.learning.alone import refuse_alone
from andon.learning.changing import WAIT_S, open_stores, put, require_replicas
from andon.learning.in_force import Wish, hold_in_force
from andon.learning.teaching import TaughtVersion, teach_version
from andon.products.workspace import Workspace
from andon.settings import Settings
from console.product_drafts import (
    DraftDefect,
    DraftError,
    DraftStep,
    LiveProduct,
    OddNormal,
    PictureKind,
    ProductDraft,
    TaughtDraft,
    TrainedDraft,
    TriedPolicy,
    expert_of,
    lessons_of,
    next_step,
    pictures_of,
)
from policies.authoring.loading import load_policy
from policies.errors import SofteningError
from policies.review.diff import difference
from serving.bundle_store import open_folder
from serving.bundles import digest_of, product_path
from serving.experts.artifact import save_artifact
from serving.experts.images import decode_image, read_marked
from serving.experts.oddest import draw_oddest
from serving.experts.options import FEWEST_IMAGES, Progress, TrainOptions
from serving.experts.pictures import save_picture
from serving.experts.training import train
from serving.experts.types import Image, Mask
from serving.naming.teaching import Lesson, outliner, teach_product

BACKTEST_SPAN: Final = timedelta(days=30)
"""How far back a drafted policy is tried on what the line decided before."""


def train_draft(workspace: Workspace, report: Progress) -> ProductDraft:
    """Train an expert on the kept normals, and draw the oddest of them.

    Raises:
        DraftError: too few pictures.
        ExpertError: the pictures cannot be trained on.
    """
    draft, began = workspace.read(), time.monotonic()
    if len(draft.kept) < FEWEST_IMAGES:
        raise DraftError(
            f"{len(draft.kept)} pictures of good parts are too few: give at least {FEWEST_IMAGES}, "
            "better 100 of different parts"
        )
    photographs = {workspace.path(PictureKind.NORMAL, n.name): n for n in draft.kept}
    options = TrainOptions(false_alarm_rate=draft.rate, **draft.choice.model_dump())
    parts = {path: normal.part for path, normal in photographs.items() if normal.part}
    trained = train(draft.product, list(photographs), options, parts, report)
    digest = save_artifact(trained, workspace.experts)
    folder, odd = workspace.clear_odd(), []
    for seen in draw_oddest(trained, list(photographs)):
        save_picture(seen.picture, str(folder / f"{seen.photograph.name}.png"))
        high = seen.score >= trained.model.calibration.threshold
        odd.append(OddNormal(name=seen.photograph.name, score=seen.score, sets_threshold=high))
    told, calibration = trained.model.trained, trained.model.calibration
    found = TrainedDraft(
        digest=digest,
        pictures=pictures_of(draft),
        images=told["data"]["images"],
        parts=told["data"]["groups"],
        asked_rate=calibration.asked_rate,
        rate=calibration.rate,
        threshold=calibration.threshold,
        found=told["sensitivity"]["local"],
        warnings=tuple(told["warnings"]),
        odd=tuple(odd),
        seconds=round(time.monotonic() - began, 1),
    )
    return workspace.change(lambda d: d.model_copy(update={"trained": found, "taught": None}))


def teach_draft(workspace: Workspace, report: Progress) -> ProductDraft:
    """Teach the expert and the classifier every defect that has a name.

    Raises:
        DraftError: nothing was trained, or nothing has a name.
    """
    draft = workspace.read()
    if draft.trained is None:
        raise DraftError("train on pictures of good parts first")
    if not draft.named:
        raise DraftError("no picture of a defect has a name yet")
    artifact = product_path(workspace.experts, draft.product) / draft.trained.digest
    normals = [workspace.path(PictureKind.NORMAL, n.name).read_bytes() for n in draft.kept]
    normal_parts = [normal.part for normal in draft.kept]
    bundle = teach_product(
        workspace.exemplars,
        draft.product,
        [_lesson(workspace, defect) for defect in draft.named],
        normals=normals,
        normal_parts=normal_parts,
        outline=outliner(artifact),
    )
    made = teach_version(bundle, artifact, normals, report, normal_parts)
    if made is None:
        raise DraftError("this expert is of a kind that cannot be taught")
    taught = TaughtDraft(
        expert=made.expert.name,
        exemplars=made.exemplars.name,
        lessons=lessons_of(draft),
        found=_gains(made, draft.rate),
    )
    return workspace.change(lambda d: d.model_copy(update={"taught": taught}))


async def backtest_draft(workspace: Workspace, advance: Callable[[], None]) -> ProductDraft:
    """Try the policy on what was decided of this product in the last 30 days.

    Raises:
        DraftError: the policy has errors.
        UnavailableError: the history does not answer.
    """
    policy = load_policy(_sound(workspace.read(), workspace))
    report = await database.backtest_history(policy, datetime.now(UTC) - BACKTEST_SPAN, advance)
    words = "" if report.decisions else "nothing was decided of this product yet"
    tried = TriedPolicy(
        policy_hash=policy.policy_hash,
        parts=report.decisions,
        changed=sum(report.changed.values()),
        exact=report.exact,
        words=words,
    )
    return workspace.change(lambda d: d.model_copy(update={"tried": tried}))


async def put_live(
    workspace: Workspace,
    settings: Settings,
    by: str,
    reason: str,
    tell: Callable[[str], None],
    allow_softening: bool = False,
) -> ProductDraft:
    """Put the expert with its exemplars in force on every replica, then the policy.

    Raises:
        DraftError: a step before is missing.
        SecondPersonError: somebody else must approve the policy, or the expert, which is in the
            store then.
        SofteningError: the product has a policy, or had one until it was withdrawn, that stops what
            this one lets pass.
        LearningError: a replica does not take the expert; nothing changed then.
        UnavailableError: store, database, Serve or Kafka do not answer; the message says what
            holds, and the step may be done again.
    """
    draft = workspace.read()
    missing = next_step(draft)
    if missing not in (None, DraftStep.LIVE):
        raise DraftError(f"the step {missing.value!r} comes first")
    policy = load_policy(_sound(draft, workspace))
    before, last = await database.in_force(draft.product), await database.last(draft.product)
    softens = last is not None and difference(last, policy).softens
    if softens and not allow_softening:
        state = "has a policy in force" if before else "had a policy, until it was withdrawn,"
        raise SofteningError(
            f"{draft.product} {state} that stops parts, keeps pictures in the plant, or watches "
            "the line, where this one does not: put it in force first, on the page Policies or by "
            "`andon policy apply FILE --allow-softening`, and come back to this step"
        )
    database.refuse_alone(policy, before, last, softens)
    await require_replicas(settings)
    expert, taught = expert_of(draft), draft.taught if draft.named else None
    stores = open_stores(settings)
    await asyncio.to_thread(hold_in_force, stores, draft.product)
    made = product_path(workspace.experts, draft.product) / expert
    await asyncio.to_thread(stores.experts.add, draft.product, made)
    if taught is not None:
        bundle = product_path(workspace.exemplars, draft.product) / taught.exemplars
        await asyncio.to_thread(stores.exemplars.add, draft.product, bundle)
        note = await asyncio.to_thread(open_folder(workspace.experts).note, draft.product, expert)
        if note is not None:
            await asyncio.to_thread(stores.experts.put_note, draft.product, expert, note)
    why = reason or "a new product"
    wish = Wish(draft.product, expert, taught.exemplars if taught else None, by, why)
    await refuse_alone(settings, stores, wish)
    await put(settings, stores, wish, WAIT_S, tell)
    tell("the expert is in force on every replica")
    replaces = before.policy_hash if before else None
    await database.put_in_force(policy, replaces, by, why, softens)
    live = LiveProduct(
        at=datetime.now(UTC),
        by=by,
        expert=expert,
        exemplars=taught.exemplars if taught else "",
        policy_hash=policy.policy_hash,
    )
    return workspace.change(lambda d: d.model_copy(update={"live": live}))


def _sound(draft: ProductDraft, workspace: Workspace) -> Path:
    """The file of the policy, once the validator has passed what stands in it."""
    if draft.checked is None or draft.checked.errors:
        raise DraftError("the policy has errors, or was not drafted yet")
    if digest_of(workspace.policy_file.read_bytes()) != draft.checked.text_hash:
        raise DraftError("the policy's text was changed since it was checked: check it again")
    return workspace.policy_file


def _lesson(workspace: Workspace, defect: DraftDefect) -> Lesson:
    body = workspace.path(PictureKind.DEFECT, defect.name).read_bytes()
    place, mask = workspace.mask(defect), None
    if defect.outline:
        mask = drawn_mask(decode_image(body), defect)
    elif place is not None:
        mask = read_marked(place)
        if mask.shape != decode_image(body).shape[:2]:
            raise DraftError(f"{defect.name}: its mask is of another size")
    return Lesson(defect.class_name, body, mask, defect.part or defect.name, defect.name)


def drawn_mask(image: Image, defect: DraftDefect) -> Mask:
    """What an outline encloses on a picture, bool (height, width)."""
    height, width = image.shape[:2]
    corners = np.array([(x * width, y * height) for x, y in defect.outline])
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 255)
    return np.asarray(mask > 0, np.bool_)


def _gains(made: TaughtVersion, rate: float) -> dict[str, tuple[float, float]]:
    """What the taught expert finds of each class at the rate nearest to the asked one."""
    rows = made.gained["at_rates"]
    if not rows:
        return {}
    nearest = min(rows, key=lambda row: abs(row["asked_rate"] - rate))
    before = nearest["before"]
    return {
        name: (found["share"], before[name]["share"] if name in before else 0.0)
        for name, found in nearest["classes"].items()
    }
