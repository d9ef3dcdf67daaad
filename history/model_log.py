"""Every version of an expert that was ever put in force, and who did it."""

from datetime import date, datetime

from sqlalchemy import RowMapping, select, text
from sqlalchemy.dialects.postgresql import insert

from history.database import connected
from history.product_log import ProductLog
from history.records import Record
from history.tables import METADATA
from history.text import clean

_AUDIT = METADATA.tables["model_audit"]


class ModelChange(Record):
    """One change of the expert in force, and of the exemplars that belong to it."""

    id: int
    product_id: str
    from_expert: str | None
    """Digest of the artifact; None where the line had none before."""
    to_expert: str
    from_exemplars: str | None
    to_exemplars: str | None
    """Digest of the exemplar bundle; None where the product has none."""
    applied_by: str
    reason: str
    applied_at: datetime


class ShadowCount(Record):
    """What a version in the shadow said of frames, beside the version in force."""

    product_id: str
    expert_version: str
    """Digest of the version in the shadow."""
    frames: int
    both: int
    """Frames that both find anomalous."""
    only_shadow: int
    only_in_force: int
    first_at: datetime
    last_at: datetime
    """When the first and the last of the frames were photographed."""


class DayOfUse(Record):
    """What a version in force decided on one day, UTC."""

    expert_version: str
    day: date
    parts: int
    stopped: int
    mean_p_value: float | None
    """Mean p-value of the parts that passed: near one half while they look as in training."""


_DAYS = text(
    """
    SELECT expert_version, (captured_at AT TIME ZONE 'UTC')::date AS day, count(*) AS parts,
        count(*) FILTER (WHERE action <> 'pass') AS stopped,
        avg(p_value) FILTER (WHERE action = 'pass') AS mean_p_value
    FROM part_fact
    WHERE product_id = :product AND captured_at >= :since AND expert_version <> ''
        AND NOT is_simulated
    GROUP BY expert_version, day
    ORDER BY day DESC, expert_version
    """
)
_SHADOWS = text(
    """
    SELECT d.product_id, s.expert_version, count(*) AS frames,
        count(*) FILTER (WHERE s.anomalous AND d.odd) AS both,
        count(*) FILTER (WHERE s.anomalous AND NOT d.odd) AS only_shadow,
        count(*) FILTER (WHERE NOT s.anomalous AND d.odd) AS only_in_force,
        min(d.captured_at) AS first_at, max(d.captured_at) AS last_at
    FROM (
        SELECT DISTINCT ON (told.frame_id, told.expert_version)
            told.frame_id, told.expert_version, told.anomalous
        FROM decision teller,
            jsonb_to_recordset(teller.event #> '{inspection,shadows}')
                AS told(frame_id uuid, expert_version text, anomalous boolean)
        WHERE jsonb_typeof(teller.event #> '{inspection,shadows}') = 'array'
            AND teller.captured_at >= :since
    ) s
    JOIN (
        SELECT DISTINCT ON (frame_id) frame_id, product_id, captured_at,
            (event #>> '{inspection,anomalous}')::boolean AS odd
        FROM decision
        WHERE event #> '{inspection}' IS NOT NULL AND captured_at >= :since
            AND event #>> '{inspection,anomalous}' IS NOT NULL
    ) d USING (frame_id)
    WHERE CAST(:product AS text) IS NULL OR d.product_id = :product
    GROUP BY d.product_id, s.expert_version
    ORDER BY max(d.captured_at) DESC
    """
)


class ModelLog(ProductLog):
    """The audit of the experts in PostgreSQL; rows are only added.

    Every method raises ``UnavailableError`` when the database is down.
    """

    role = "models"
    lock = 0x4D6F6465  # "Mode"

    async def append(
        self,
        product_id: str,
        experts: tuple[str | None, str],
        exemplars: tuple[str | None, str | None],
        applied_by: str,
        reason: str,
    ) -> ModelChange:
        """Write down one change; the database stamps the time.

        Args:
            experts: digest before and after.
            exemplars: the same of the exemplar bundle.
        """
        row = {
            "product_id": clean(product_id),
            "from_expert": experts[0],
            "to_expert": experts[1],
            "from_exemplars": exemplars[0],
            "to_exemplars": exemplars[1],
            "applied_by": clean(applied_by),
            "reason": clean(reason),
        }
        query = insert(_AUDIT).values(row).returning(*_AUDIT.c)
        async with connected(self._engine, self._timeout_s, "writing the audit") as link:
            return _change((await link.execute(query)).mappings().one())

    async def changes(self, product_id: str | None = None, limit: int = 100) -> list[ModelChange]:
        """The changes of the experts in force, the latest first."""
        query = select(_AUDIT).order_by(_AUDIT.c.applied_at.desc(), _AUDIT.c.id.desc())
        if product_id is not None:
            query = query.where(_AUDIT.c.product_id == clean(product_id))
        async with connected(self._engine, self._timeout_s, "reading the audit") as link:
            return [_change(row) for row in (await link.execute(query.limit(limit))).mappings()]

    async def days(self, product_id: str, since: datetime) -> list[DayOfUse]:
        """What each version decided of a product, day by day, the latest first."""
        values = {"since": since, "product": clean(product_id)}
        async with connected(self._engine, self._timeout_s, "counting days") as link:
            found = await link.execute(_DAYS, values)
            return [DayOfUse.model_validate(dict(row)) for row in found.mappings()]

    async def shadows(self, since: datetime, product_id: str | None = None) -> list[ShadowCount]:
        """What versions in the shadow said of the frames since then, the latest first."""
        values = {"since": since, "product": clean(product_id) if product_id else None}
        async with connected(self._engine, self._timeout_s, "reading shadows") as link:
            found = await link.execute(_SHADOWS, values)
            return [ShadowCount.model_validate(dict(row)) for row in found.mappings()]


def _change(row: RowMapping) -> ModelChange:
    return ModelChange.model_validate(dict(row))
