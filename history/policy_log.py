"""Every policy that was ever in force, and who put it there."""

import json
from datetime import datetime

from sqlalchemy import RowMapping, func, select, text
from sqlalchemy.dialects.postgresql import insert

from history.console_audit import Deed, write_deed
from history.console_tables import AUDIT as CONSOLE_AUDIT
from history.database import connected
from history.errors import NotInHistoryError, RefusedRowError
from history.product_log import ProductLog
from history.records import Record
from history.tables import METADATA
from history.text import clean, clean_json
from streams.failures import Cause

_VERSION = METADATA.tables["policy_version"]
_AUDIT = METADATA.tables["policy_audit"]


class PolicyVersion(Record):
    """A resolved policy under the hash of its content."""

    policy_hash: str
    product_id: str
    body: dict[str, object]
    created_at: datetime
    source: str | None = None
    """The text that it was read from, with its comments; None where none was kept."""


class AuditEntry(Record):
    """One change of the policy in force."""

    id: int
    product_id: str
    from_hash: str | None
    to_hash: str | None
    """None: the policy was withdrawn."""
    applied_by: str
    reason: str
    softening: bool
    applied_at: datetime
    login: str = ""
    """How who applied it was known; empty where an earlier schema kept it not."""

    @property
    def last_hash(self) -> str | None:
        """Of the policy that it put in force, or that was in force until it was withdrawn."""
        return self.to_hash or self.from_hash


class PolicyLog(ProductLog):
    """The versions and the audit in PostgreSQL.

    Every method raises ``UnavailableError`` when the database is down.
    """

    role = "policy"
    lock = 0x506F6C69  # "Poli"

    async def store_version(
        self,
        policy_hash: str,
        product_id: str,
        body: dict[str, object],
        source: str | None = None,
    ) -> None:
        """Keep a body under its hash; one that is there already is left as it is.

        The order of the keys is kept.

        Args:
            source: the text that the body was read from; one that needs no other file.
        """
        row = {
            "policy_hash": clean(policy_hash),
            "product_id": clean(product_id),
            "body": json.dumps(clean_json(body)),
            "source": None if source is None else clean(source),
        }
        query = insert(_VERSION).values(row).on_conflict_do_nothing()
        async with connected(self._engine, self._timeout_s, "storing a policy") as link:
            await link.execute(query)

    async def require_audits(self) -> None:
        """Ask whether both audits may be written, before what they tell of is done.

        Raises:
            RefusedRowError: one of them may not.
        """
        tables = (_AUDIT.name, CONSOLE_AUDIT.name)
        query = select(*(func.has_table_privilege(name, "INSERT") for name in tables))
        async with connected(self._engine, self._timeout_s, "asking for the audits") as link:
            allowed = (await link.execute(query)).one()
        for name, is_allowed in zip(tables, allowed, strict=True):
            if not is_allowed:
                raise RefusedRowError(
                    Cause.NOT_ALLOWED,
                    f"nothing was changed: this login may not write {name}; "
                    "`andon history grant` gives each role its rights",
                )

    async def append_audit(
        self,
        product_id: str,
        from_hash: str | None,
        to_hash: str | None,
        applied_by: str,
        reason: str,
        softening: bool = False,
        deed: Deed | None = None,
    ) -> AuditEntry:
        """Write down who put which version in force (None: withdrew it), and why; the database
        stamps the time.

        Args:
            deed: the same in the audit of what people do, in one transaction.

        Raises:
            RefusedRowError: ``to_hash`` was never stored.
        """
        row = {
            "product_id": clean(product_id),
            "from_hash": clean(from_hash) if from_hash else None,
            "to_hash": clean(to_hash) if to_hash else None,
            "applied_by": clean(applied_by),
            "reason": clean(reason),
            "softening": softening,
            "login": clean(deed.login if deed else ""),
        }
        query = insert(_AUDIT).values(row).returning(*_AUDIT.c)
        async with connected(self._engine, self._timeout_s, "writing the audit") as link:
            if deed is not None:
                await write_deed(link, deed)
            return _entry((await link.execute(query)).mappings().one())

    async def get_version(self, policy_hash: str) -> PolicyVersion:
        """A version by its hash, or by the beginning of it when only one begins so.

        Raises:
            NotInHistoryError: none, or several begin with it.
        """
        begins = _VERSION.c.policy_hash.startswith(clean(policy_hash), autoescape=True)
        query = select(_VERSION).where(begins).order_by(_VERSION.c.policy_hash).limit(2)
        async with connected(self._engine, self._timeout_s, "reading a policy") as link:
            found = list(await link.execute(query))
        exact = [row for row in found if row.policy_hash == policy_hash] or found
        if len(exact) != 1 or not policy_hash:
            how_many = "several policies begin" if found else "no stored policy begins"
            raise NotInHistoryError(
                f"{how_many} with hash {policy_hash!r}: `andon policy log` lists them"
            )
        return PolicyVersion.model_validate(dict(exact[0]._mapping))

    async def list_log(self, product_id: str | None = None, limit: int = 100) -> list[AuditEntry]:
        """The changes of the policies in force, the latest first."""
        query = select(_AUDIT).order_by(_AUDIT.c.applied_at.desc(), _AUDIT.c.id.desc())
        if product_id is not None:
            query = query.where(_AUDIT.c.product_id == clean(product_id))
        async with connected(self._engine, self._timeout_s, "reading the audit") as link:
            found = await link.execute(query.limit(limit))
            return [_entry(row) for row in found.mappings()]

    async def latest_of_each(self) -> list[AuditEntry]:
        """The last change of every product, by its name."""
        query = select(_AUDIT).prefix_with(text("DISTINCT ON (product_id)"))
        order = (_AUDIT.c.product_id, _AUDIT.c.applied_at.desc(), _AUDIT.c.id.desc())
        async with connected(self._engine, self._timeout_s, "reading the audit") as link:
            found = await link.execute(query.order_by(*order))
            return [_entry(row) for row in found.mappings()]

    async def in_force(self, product_id: str) -> AuditEntry | None:
        """The last change of a product, or None when no policy of it was ever applied."""
        log = await self.list_log(product_id, 1)
        return log[0] if log else None


def _entry(row: RowMapping) -> AuditEntry:
    return AuditEntry.model_validate(dict(row))
