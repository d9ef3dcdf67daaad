"""What PostgreSQL and the object store hold, asked in plain SQL and S3: an auditor's view."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from andon import wiring
from andon.settings import Settings
from lab.harness.reckoning import InHistory
from streams.ids import image_key


async def read_history(settings: Settings) -> InHistory:
    """Identities in the history, and which pictures exist behind its anomalies."""
    url = settings.postgres.url.get_secret_value().replace("+asyncpg", "")
    connection = await asyncpg.connect(url, timeout=settings.postgres.timeout_s)
    try:
        decisions = await connection.fetch("SELECT result_id FROM decision")
        acks = await connection.fetch("SELECT result_id, outcome FROM acknowledgement")
        anomalies = await connection.fetch("SELECT DISTINCT frame_id FROM anomaly")
    finally:
        await connection.close()
    frames = {UUID(str(row["frame_id"])) for row in anomalies}
    return InHistory(
        decisions={UUID(str(row["result_id"])) for row in decisions},
        acknowledgements={(UUID(str(row["result_id"])), row["outcome"]) for row in acks},
        anomalies=frames,
        pictures=await asyncio.to_thread(_pictures, settings, sorted(frames)),
    )


def _pictures(settings: Settings, frames: Sequence[UUID]) -> set[UUID]:
    """Frames with an image object, those that no row names included."""
    objects = wiring.s3_objects(settings)
    try:
        names = set(objects.keys("inspections/"))
    finally:
        objects.close()
    stored = {UUID(name.split("/")[-2]) for name in names if name.endswith("/image")}
    return stored - {frame for frame in frames if image_key(frame) not in names}
