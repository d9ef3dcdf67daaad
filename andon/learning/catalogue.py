"""Reads the versions of the experts from store, audit and replicas."""

import asyncio
from collections.abc import Sequence

from andon import wiring
from andon.learning.in_force import Stores
from andon.learning.versions import describe_version
from andon.settings import Settings
from history.model_log import ModelChange
from serving.bundle_store import SHADOW
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

    Args:
        look_s: how long the replicas may take to answer, seconds.

    Raises:
        AndonError: the store cannot be read.
    """
    unknown: list[str] = []
    changes = await _changes(settings, product, unknown)
    replicas = await _replicas(settings, look_s, unknown)
    in_force = await asyncio.to_thread(stores.experts.products)
    names = [product] if product is not None else list(in_force)
    found: list[Version] = []
    for name in names:
        own = [change for change in changes if change.product_id == name]
        pointed = in_force.get(name), stores.experts.pointed(name, SHADOW)
        versions = await asyncio.to_thread(stores.experts.versions, name)
        for digest, written in sorted(versions.items(), key=lambda item: -item[1]):
            manifest = await asyncio.to_thread(stores.experts.manifest, name, digest)
            body = await asyncio.to_thread(stores.experts.note, name, digest)
            note = VersionNote.model_validate_json(body) if body is not None else None
            found.append(
                describe_version(name, digest, written, manifest, note, pointed, own, replicas)
            )
    return found, unknown


async def _changes(
    settings: Settings, product: str | None, unknown: list[str]
) -> Sequence[ModelChange]:
    try:
        async with wiring.opened(wiring.model_log, settings) as audit:
            return await audit.changes(product, 1000)
    except AndonError as error:
        unknown.append(f"who put what in force: {error}")
        return []


async def _replicas(
    settings: Settings, look_s: float, unknown: list[str]
) -> Sequence[ReplicaStatus]:
    try:
        async with wiring.opened(wiring.replicas, settings) as replicas:
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
