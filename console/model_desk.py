"""Versions of experts as the console changes them: each wish is written in the audit first."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request

from console.identity import who_of
from console.model_versions import ModelError, ModelVersions, VersionChange
from console.parts import ConsoleParts
from serving.expert_versions import Version
from streams.names import key_of


@dataclass(frozen=True)
class ProductModels:
    """The versions of one product."""

    product: str
    key: str
    """Names it in addresses."""
    versions: Sequence[Version]
    change: VersionChange | None


class ModelDesk:
    """What the page and the API do with versions; one of each."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._audit = parts.audit
        self.models: ModelVersions = parts.models

    async def all(self) -> tuple[list[ProductModels], Sequence[str]]:
        """Every product with its versions, and what could not be found out."""
        found, unknown = await self.models.versions(None)
        names = list(dict.fromkeys(version.product for version in found))
        return [
            ProductModels(
                name,
                key_of(name),
                [version for version in found if version.product == name],
                self.models.change(name),
            )
            for name in names
        ], unknown

    async def product(self, key: str) -> str:
        """The product that a key names.

        Raises:
            ModelError: none.
        """
        known = await self.models.products()
        if key not in known:
            raise ModelError(f"no version of {key[:80]!r} is in the store")
        return known[key]

    async def use(self, request: Request, key: str, digest: str, reason: str) -> VersionChange:
        """Begin to put a version in force; an empty digest returns to the one before.

        Raises:
            ModelError: no reason, another change is under way, or no such version.
        """
        product, why = await self.product(key), reason.strip()
        if not why:
            raise ModelError("say in a few words why: it is kept in the audit")
        found, _ = await self.models.versions(product)
        if digest and digest not in {version.digest for version in found}:
            raise ModelError(f"{product} has no version {digest[:12]}")
        running = self.models.change(product)
        if running is not None and running.running:
            raise ModelError(f"{product}: another version is being put in force; wait for it")
        now = next((version.digest for version in found if version.in_force), "")
        who = who_of(request)
        action = "model.use" if digest else "model.rollback"
        await self._audit.append(
            who.deed(request, action, product, before=now, after=digest, reason=why)
        )
        return self.models.use(product, digest, who.name, why)

    async def shadow(self, request: Request, key: str, digest: str) -> None:
        """Let a version be scored beside the one in force; an empty digest ends it."""
        product = await self.product(key)
        await self._audit.append(
            who_of(request).deed(request, "model.shadow", product, after=digest)
        )
        await self.models.shadow(product, digest or None)
