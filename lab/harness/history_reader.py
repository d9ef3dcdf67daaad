"""What PostgreSQL and the object store hold, asked in plain SQL and S3: an auditor's view."""

import asyncio
from collections.abc import Sequence, Set
from uuid import UUID

import asyncpg

from andon.settings import Settings
from andon.wiring import storage
from lab.harness.balance import InHistory
from lab.harness.trigger_checker import RecordedAck
from streams.codes import AckOutcome
from streams.ids import image_key


async def read_told(settings: Settings, boots: Set[int] | None = None) -> list[RecordedAck]:
    """Every acknowledgement that the history has, of these runs of the controller."""
    url = settings.postgres.url.get_secret_value().replace("+asyncpg", "")
    connection = await asyncpg.connect(url, timeout=settings.postgres.timeout_s)
    try:
        rows = await connection.fetch(
            "SELECT plc_boot_id, trigger_seq, part_id, result_id, outcome, action, result_seq, "
            "coalesce(event ->> 'detail', '') NOT LIKE '%may stand%' AS is_sure "
            "FROM acknowledgement"
        )
    finally:
        await connection.close()
    return [
        RecordedAck(
            key=(row["plc_boot_id"], row["trigger_seq"]),
            part_id=row["part_id"],
            result_id=UUID(str(row["result_id"])),
            outcome=AckOutcome(row["outcome"]),
            action=row["action"],
            result_seq=row["result_seq"],
            is_sure=row["is_sure"],
        )
        for row in rows
        if boots is None or row["plc_boot_id"] in boots
    ]


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
    objects = storage.s3_objects(settings)
    try:
        names = set(objects.keys("inspections/"))
    finally:
        objects.close()
    stored = {UUID(name.split("/")[-2]) for name in names if name.endswith("/image")}
    return stored - {frame for frame in frames if image_key(frame) not in names}
