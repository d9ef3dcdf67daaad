"""The policies in force, and the keys that sign them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from andon.settings import Settings
from andon.wiring.brokers import kafka_connection

if TYPE_CHECKING:
    from policies.signing import Signer, TrustedKeys
    from policies.source import KafkaPolicySource

FOLDER: Final = "policies"
"""Below the state: copies of the policies in force."""


@asynccontextmanager
async def policy_source(settings: Settings, reader: str = "") -> AsyncIterator["KafkaPolicySource"]:
    """The policies in force, read to the end of their topic, with a copy on this host's disk.

    Args:
        reader: names a copy of one process; without it the workers of the host share theirs.
    """

    def build() -> "KafkaPolicySource":
        from policies.source import KafkaPolicySource

        # A new policy may take half a second to arrive; an idle fetch then costs next to nothing.
        connection = replace(kafka_connection(settings), fetch_max_wait_ms=500)
        folder = settings.paths.state / FOLDER / reader
        return KafkaPolicySource(connection, folder, trusted=_trusted_keys(settings))

    source = await asyncio.to_thread(build)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


@dataclass(frozen=True)
class InForce:
    """What the broker says is in force."""

    versions: Mapping[str, str]
    """The hash of the policy in force, by product."""
    refused: Mapping[str, str]
    """Why the last message of a product was refused; nobody uses it."""
    serials: Mapping[str, int]
    """The highest serial that a policy of the product was signed with."""


async def policies_in_force(settings: Settings) -> InForce:
    """The policies as the broker has them, judged as every worker judges them.

    Raises:
        UnavailableError: the broker does not answer.
    """
    from policies.source import KafkaPolicySource

    trusted = _trusted_keys(settings)
    source = KafkaPolicySource(kafka_connection(settings), start_timeout_s=6.0, trusted=trusted)
    await source.start()
    try:
        return InForce(dict(source.versions()), source.refused(), source.serials())
    finally:
        await source.stop()


def _trusted_keys(settings: Settings) -> "TrustedKeys | None":
    from policies.signing import TrustedKeys

    folder = settings.signing.trusted_keys
    return None if folder is None else TrustedKeys.load(folder)


def policy_signer(settings: Settings) -> "Signer | None":
    """Signs policies that are put in force; None where nothing is signed.

    Raises:
        PolicyError: signatures are asked for here, and there is no key to sign with, or one whose
            signature every process would refuse.
    """
    from policies.errors import PolicyError
    from policies.signing import Signer, key_id

    own, trusted = settings.signing, _trusted_keys(settings)
    if own.key_file is not None:
        signer = Signer.load(own.key_file)
        name = key_id(signer.key.public_key())
        if trusted is not None and name not in trusted.keys:
            raise PolicyError(
                f"ANDON_SIGNING__KEY_FILE: the key {name} of {own.key_file} is not among the "
                f"trusted ones in {own.trusted_keys}, so that every process would refuse what it "
                "signs: put its .pub there and on every host of the line, start their processes "
                "again, and repeat this"
            )
        return signer
    if trusted is not None:
        raise PolicyError(
            "policies must be signed here: name your private key by ANDON_SIGNING__KEY_FILE "
            "(`andon policy key new` makes one)"
        )
    return None
