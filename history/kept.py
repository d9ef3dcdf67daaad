"""Which pictures of a part are kept, and where."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from history.stories import KeptPicture
from history.tables import METADATA
from streams.codes import Stage


async def kept_pictures(link: AsyncConnection, frames: Sequence[UUID]) -> dict[UUID, KeptPicture]:
    """By frame: what an expert saw, or what the camera's check refused and nobody judged."""
    a, d = METADATA.tables["anomaly"].c, METADATA.tables["dead_letter"].c
    refused = await link.execute(
        select(d.frame_id, d.object_key)
        .where(d.frame_id.in_(frames), d.stage == Stage.CAPTURE.value)
        .order_by(d.failed_at)
    )
    kept = {frame: KeptPicture(key) for frame, key in refused}
    keys = select(a.frame_id, func.max(a.image_key), func.max(a.mask_key))
    seen = await link.execute(keys.where(a.frame_id.in_(frames)).group_by(a.frame_id))
    return kept | {frame: KeptPicture(*found) for frame, *found in seen}
