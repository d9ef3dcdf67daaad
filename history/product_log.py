"""An audit of what is in force of each product: one person changes it at a time."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from history.database import DatabaseClient, errors_translated
from history.errors import ChangingNowError
from history.text import clean


class ProductLog(DatabaseClient):
    """Who put what in force of which product."""

    lock: ClassVar[int]
    """Of whoever changes what is in force; beside a number for the product."""

    @asynccontextmanager
    async def changing(self, product_id: str) -> AsyncIterator[None]:
        """Nobody else changes what is in force of the product, at whatever prompt or console.

        Raises:
            ChangingNowError: somebody does at this moment.
        """
        key = {"kind": self.lock, "product": clean(product_id)}
        taken = text("SELECT pg_try_advisory_xact_lock(:kind, hashtext(:product))")
        link = self._engine.connect()
        try:
            with errors_translated("asking whether somebody else changes it"):
                await link.start()
                if not await link.scalar(taken, key):
                    raise ChangingNowError(
                        f"somebody changes the {self.role} of {product_id!r} at this moment; "
                        "see what is in force then, and try again"
                    )
            yield
        finally:
            with contextlib.suppress(OSError, SQLAlchemyError):  # a lost connection holds no lock
                await link.close()
