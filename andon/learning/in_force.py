"""Putting a version in force: the pointer, every replica, the audit; in this order."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from andon.learning.errors import LearningError
from history.model_log import ModelChange, ModelLog
from serving.bundle_store import BundleStore
from serving.errors import StoreError
from serving.ray.replicas import ApplicationStatus, ServeReplicas
from serving.ray.settings import CLASSIFIER, VISION
from streams.errors import AndonError, UnavailableError

LOOK_S = 0.5
"""Pause between two looks at the replicas, seconds."""


@dataclass(frozen=True)
class Stores:
    """Where experts and exemplars are kept."""

    experts: BundleStore
    exemplars: BundleStore


@dataclass(frozen=True)
class Wish:
    """Which version of a product somebody wants in force, and why."""

    product: str
    expert: str
    exemplars: str | None
    """None leaves the exemplars as they are; empty: none shall be in force."""
    by: str
    reason: str


def hold_in_force(stores: Stores, product: str) -> None:
    """Pin what is in force before a candidate is written, expert and exemplars.

    A product without a pointer has what was written last, which the candidate would be.
    """
    for store in (stores.experts, stores.exemplars):
        if store.pointed(product) is None:
            store.point(product, store.in_force(product))


async def put_in_force(
    wish: Wish,
    stores: Stores,
    log: ModelLog,
    replicas: ServeReplicas,
    wait_s: float,
    tell: Callable[[str], None],
) -> ModelChange:
    """Let every replica answer with a version, and write down who wanted it.

    Where a replica does not take it in time, the pointers go back to what they were.

    Args:
        tell: is told how many replicas have it whenever that changes.
        wait_s: longest wait for the replicas, seconds.

    Raises:
        ChangingNowError: somebody else changes the product's version at this moment.
        LearningError: the version is not in the store, Serve's configuration says otherwise, or a
            replica did not take it.
        UnavailableError: store, database or Serve do not answer; the message says what holds.
    """
    product = wish.product
    async with log.changing(product):
        await asyncio.to_thread(stores.experts.manifest, product, wish.expert)
        if wish.exemplars:
            await asyncio.to_thread(stores.exemplars.manifest, product, wish.exemplars)
        last = next(iter(await log.changes(product, 1)), None)
        status = await replicas.look()
        _refuse_pinned(status, wish)
        known = lacking(status, wish)
        written = (last.to_expert, last.to_exemplars) if last is not None else (None, None)
        old = await asyncio.to_thread(_in_force, stores.experts, product, written[0])
        old_exemplars = await asyncio.to_thread(_in_force, stores.exemplars, product, written[1])
        taken = partial(_until_all_have_it, wish, replicas, wait_s, tell, known)
        await _switch(wish, stores, old, old_exemplars, taken)
        new_exemplars = old_exemplars if wish.exemplars is None else wish.exemplars or None
        if (old, old_exemplars) == (wish.expert, new_exemplars):
            if last is not None and last.to_expert == wish.expert:
                tell(
                    f"nothing changed and nothing was written down: {last.applied_by} put it in "
                    f"force at {last.applied_at:%Y-%m-%d %H:%M:%S} UTC"
                )
                return last  # a rollback goes where it went before
            # an audit entry that could not be written is written now
            old = last.to_expert if last is not None else None
        try:
            return await log.append(
                product, (old, wish.expert), (old_exemplars, new_exemplars), wish.by, wish.reason
            )
        except AndonError as error:
            raise UnavailableError(
                f"{product} {wish.expert[:12]} is in force, but its audit entry is missing: "
                f"{error}; run this again"
            ) from error


async def _switch(
    wish: Wish,
    stores: Stores,
    old: str | None,
    old_exemplars: str | None,
    taken: Callable[[], Awaitable[None]],
) -> None:
    """Point at the new version, and back where ``taken`` says that a replica did not take it."""
    product = wish.product
    try:
        await asyncio.to_thread(_point, stores, product, wish.expert, wish.exemplars)
        await taken()
    except (AndonError, asyncio.CancelledError) as error:
        back = (old_exemplars or "") if wish.exemplars is not None else None
        try:
            await asyncio.to_thread(_point, stores, product, old, back)
        except AndonError as second:
            raise UnavailableError(
                f"{product} {wish.expert[:12]}: {error}; and what was in force before could not be "
                f"put in force again: {second}; `andon models list` says what is"
            ) from error
        raise


def lacking(status: ApplicationStatus, wish: Wish) -> list[str]:
    """What still keeps a wish from being true, replica by replica; empty when it is."""
    wanted = {VISION: wish.expert}
    if wish.exemplars is not None and CLASSIFIER in status.expected:
        wanted[CLASSIFIER] = wish.exemplars
    found = []
    for deployment, digest in wanted.items():
        for replica in status.of(deployment):
            if replica.versions.get(wish.product, "") != digest:
                has = (replica.versions.get(wish.product) or "none")[:12]
                why = replica.problems.get(wish.product) or replica.problems.get("*")
                reason = f": {why}" if why else ""
                found.append(f"{deployment} replica {replica.replica[:8]} has {has}{reason}")
        if absent := status.missing(deployment):
            found.append(f"{deployment}: {absent} replicas do not answer")
        if not status.of(deployment) and not status.expected.get(deployment):
            found.append(f"{deployment}: no replica runs")
    return found


async def _until_all_have_it(
    wish: Wish,
    replicas: ServeReplicas,
    wait_s: float,
    tell: Callable[[str], None],
    known: Sequence[str],
) -> None:
    """What ``known`` says was so before: a version that was refused then may be whole by now."""
    until, said = time.monotonic() + wait_s, 0
    while True:
        try:
            missing = lacking(await replicas.look(), wish)
        except UnavailableError as error:
            missing = [str(error)]
        if not missing:
            return
        if len(missing) != said:
            tell(f"{len(missing)} not yet: {'; '.join(sorted(missing))}")
            said = len(missing)
        refused = [words for words in missing if wish.expert[:12] in words and words not in known]
        if refused or time.monotonic() > until:
            why = "refused it" if refused else f"did not have it after {wait_s:g} s"
            raise LearningError(
                f"{wish.product} {wish.expert[:12]}: a replica {why}, what was in force before is "
                f"in force again: {'; '.join(refused or missing)}"
            )
        await asyncio.sleep(LOOK_S)


def _refuse_pinned(status: ApplicationStatus, wish: Wish) -> None:
    for deployment, field in ((VISION, "products"), (CLASSIFIER, "exemplars")):
        if deployment == CLASSIFIER and wish.exemplars is None:
            continue
        for replica in status.of(deployment):
            if wish.product in replica.pinned:
                raise LearningError(
                    f"{wish.product} is pinned by its digest in the user_config of {deployment}: "
                    f"deploy it with `{field}: latest`, or change the digest there"
                )
            if replica.listed is not None and wish.product not in replica.listed:
                raise LearningError(
                    f"the user_config of {deployment} names its {field}, and {wish.product} is "
                    f"not among them: deploy it with `{field}: latest`, or add the product there"
                )
    if not status.of(VISION):
        raise UnavailableError(f"no replica of {VISION} answers; nothing was changed")


def _in_force(store: BundleStore, product: str, audited: str | None) -> str | None:
    """What is in force; where a damaged pointer does not say so, what the audit says, or the
    newest version. A damaged pointer is about to be mended."""
    try:
        return store.in_force(product)
    except StoreError:
        written = store.versions(product)
        if audited in written:
            return audited
        return max(written, key=lambda digest: (written[digest], digest), default=None)


def _point(stores: Stores, product: str, expert: str | None, exemplars: str | None) -> None:
    """The exemplars first: they name anomalies of either expert."""
    if exemplars is not None:
        stores.exemplars.point(product, exemplars or None)
    stores.experts.point(product, expert)
