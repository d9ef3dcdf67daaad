"""Reads the versions of the experts from store, audit and replicas."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError

from andon.learning.in_force import Stores
from andon.learning.versions import describe_version
from andon.settings import Settings
from andon.wiring import opened, ray_serve, storage
from history.model_log import ModelChange
from serving.bundle_store import SHADOW, BundleStore
from serving.errors import DamagedPointerError, StoreError
from serving.expert_versions import Version, VersionNote
from serving.ray.replicas import ReplicaStatus
from serving.ray.settings import VISION
from streams.errors import AndonError

LOOK_S = 10.0
"""How long the replicas may take to answer a list, seconds."""


async def read_versions(
    settings: Settings, stores: Stores, product: str | None, look_s: float = LOOK_S
) -> tuple[list[Version], list[str]]:
    """Every version in the store, newest first by product, and what could not be found out.

    A product whose pointer is damaged, or a version whose manifest was altered, is told as unknown
    and hides nothing else.

    Args:
        look_s: how long the replicas may take to answer, seconds.

    Raises:
        AndonError: the store cannot be read.
    """
    unknown: list[str] = []
    changes = await _changes(settings, product, unknown)
    replicas = await _replicas(settings, look_s, unknown)
    damaged: dict[str, str] = {}
    in_force = await asyncio.to_thread(stores.experts.products, damaged)
    names = [product] if product is not None else sorted({*in_force, *damaged})
    unknown += [why for name, why in damaged.items() if name in names]
    found: list[Version] = []
    for name in names:
        own = [change for change in changes if change.product_id == name]
        of_store = partial(_of_store, stores.experts, name, in_force.get(name), unknown)
        stored = await asyncio.to_thread(of_store)
        now = in_force.get(name)
        if now is not None and now not in {one.digest for one in stored}:
            unknown.append(
                f"{name} {now[:12]} is in force and cannot be had from the store: replicas go on "
                "with what their hosts keep of it, and one on another host has none; put it back "
                f"there, or `andon models use {shlex.quote(name)} VERSION` another one"
            )
        for digest, written, manifest, note, pointed in stored:
            found.append(
                describe_version(name, digest, written, manifest, note, pointed, own, replicas)
            )
    return found, unknown


class _Stored(NamedTuple):
    """What the store knows of a version."""

    digest: str
    written_s: float
    manifest: Mapping[str, object]
    note: VersionNote | None
    pointed: tuple[str | None, str | None]
    """The versions in force and in the shadow."""


def _of_store(
    store: BundleStore, product: str, in_force: str | None, unknown: list[str]
) -> list[_Stored]:
    """The versions of a product, newest first."""
    shadow = None
    try:
        shadow = store.pointed(product, SHADOW)
    except DamagedPointerError as error:
        unknown.append(str(error))
    found = []
    for digest, written_s in sorted(store.versions(product).items(), key=lambda item: -item[1]):
        try:
            manifest, body = store.manifest(product, digest), store.note(product, digest)
        except StoreError as error:
            unknown.append(str(error))
            continue
        note = None
        try:
            note = VersionNote.model_validate_json(body) if body is not None else None
        except ValidationError:
            unknown.append(f"{product} {digest[:12]}: what was noted of it cannot be read")
        found.append(_Stored(digest, written_s, manifest, note, (in_force, shadow)))
    return found


async def _changes(
    settings: Settings, product: str | None, unknown: list[str]
) -> Sequence[ModelChange]:
    try:
        async with opened(storage.model_log, settings) as audit:
            return await audit.changes(product, 1000)
    except AndonError as error:
        unknown.append(f"who put what in force: {error}")
        return []


async def _replicas(
    settings: Settings, look_s: float, unknown: list[str]
) -> Sequence[ReplicaStatus]:
    try:
        async with opened(ray_serve.replicas, settings) as replicas:
            status = await replicas.look(look_s)
    except AndonError as error:
        unknown.append(f"what the replicas hold: {error}")
        return []
    unknown += [
        f"{replica.deployment} replica {replica.replica[:8]}, {product}: {why}"
        for replica in status.replicas
        for product, why in replica.problems.items()
    ]
    return status.of(VISION)
