"""Puts versions in force with everything that it takes: stores, audit and replicas of the settings.

The command ``andon models``, the page *Models* and the last step of a new product all come here.
"""

import asyncio
from collections.abc import Callable

from andon.learning.errors import LearningError
from andon.learning.in_force import Stores, Wish, put_in_force
from andon.learning.versions import before, find_version
from andon.settings import Settings
from andon.wiring import opened, ray_serve, storage
from history.model_log import ModelChange
from serving.bundle_store import SHADOW, BundleStore
from serving.expert_versions import VersionNote
from serving.ray.settings import VISION
from streams.errors import UnavailableError

WAIT_S = 120.0
"""Longest wait for the replicas, seconds, where nobody says otherwise."""
Tell = Callable[[str], None]
_START = "`andon deploy infra/serve.yaml` starts the experts, and then give this command again"


def open_stores(settings: Settings) -> Stores:
    """The stores of the settings, experts and exemplars."""
    paths = settings.paths
    return Stores(storage.bundle_store(paths.artifacts), storage.bundle_store(paths.exemplars))


async def use_version(
    settings: Settings,
    product: str,
    version: str,
    by: str,
    reason: str,
    exemplars: str | None = None,
    wait_s: float = WAIT_S,
    tell: Tell = lambda _: None,
) -> ModelChange:
    """Put a version in force on every replica, with the exemplars that belong to it.

    Args:
        version: its digest, or the beginning of it.
        exemplars: other exemplars than those that belong to it, in the same form.
        tell: is told how many replicas have it.

    Raises:
        LearningError: no such version, Serve's configuration pins another, or a replica did not
            take it.
        UnavailableError: store, database or Serve do not answer; the message says what holds.
    """
    stores = open_stores(settings)
    wish = await wish_for(settings, stores, product, version, by, reason, exemplars)
    return await put(settings, stores, wish, wait_s, tell)


async def roll_back(
    settings: Settings,
    product: str,
    by: str,
    reason: str,
    wait_s: float = WAIT_S,
    tell: Tell = lambda _: None,
) -> ModelChange:
    """Return to the version before the last change, its exemplars included.

    Raises:
        LearningError: there was nothing before; and as ``use_version``.
        UnavailableError: as ``use_version``.
    """
    wish = await wish_back(settings, product, by, reason)
    return await put(settings, open_stores(settings), wish, wait_s, tell)


async def wish_for(
    settings: Settings,
    stores: Stores,
    product: str,
    version: str,
    by: str,
    reason: str,
    exemplars: str | None = None,
) -> Wish:
    """The version that somebody names, and its exemplars; see ``use_version``."""
    known = await asyncio.to_thread(stores.experts.versions, product)
    expert = find_version(version, known, product)
    if exemplars is None:
        bundle = await _belonging(settings, stores, product, expert)
    else:
        kept = await asyncio.to_thread(stores.exemplars.versions, product)
        bundle = find_version(exemplars, kept, product)
    return Wish(product, expert, bundle, by, reason)


async def wish_back(settings: Settings, product: str, by: str, reason: str) -> Wish:
    """The version before the last change; errors as of ``roll_back``."""
    async with opened(storage.model_log, settings) as log:
        expert, exemplars = before(await log.changes(product, 1), product)
    return Wish(product, expert, exemplars, by, reason)


async def require_replicas(settings: Settings) -> None:
    """Ask whether an expert answers at all, before anything is written for it.

    Raises:
        UnavailableError: none does; the message says how one is started.
    """
    async with opened(ray_serve.replicas, settings) as replicas:
        try:
            status = await replicas.look()
        except UnavailableError as error:
            raise UnavailableError(f"nothing was changed: {error}; {_START}") from error
    if not status.of(VISION):
        raise UnavailableError(f"nothing was changed: no replica of {VISION} answers; {_START}")


def point_shadow(store: BundleStore, product: str, version: str | None) -> None:
    """Let replicas score a version beside the one in force, or none.

    Args:
        store: of the experts.
        version: its digest, or the beginning of one; None ends it.

    Raises:
        LearningError: no such version, or it is the one in force.
        StoreError: the store cannot be read or written.
    """
    digest = version
    if version is not None:
        digest = find_version(version, store.versions(product), product)
        if digest == store.in_force(product):
            raise LearningError(
                f"{product} {digest[:12]} is in force: it is no shadow beside itself; "
                "name another version"
            )
    store.point(product, digest, SHADOW)


async def put(
    settings: Settings, stores: Stores, wish: Wish, wait_s: float, tell: Tell
) -> ModelChange:
    """Put a wish in force over the audit and the replicas of the settings."""
    async with (
        opened(storage.model_log, settings) as audit,
        opened(ray_serve.replicas, settings) as replicas,
    ):
        return await put_in_force(wish, stores, audit, replicas, wait_s, tell)


async def _belonging(settings: Settings, stores: Stores, product: str, expert: str) -> str | None:
    """The exemplar bundle that a version was learned with, or was last in force with."""
    body = await asyncio.to_thread(stores.experts.note, product, expert)
    if body is not None:
        return VersionNote.model_validate_json(body).exemplars
    async with opened(storage.model_log, settings) as audit:
        changes = await audit.changes(product, 1000)
    return next((c.to_exemplars for c in changes if c.to_expert == expert), None)
