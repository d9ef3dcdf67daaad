"""What of a product's versions one person alone may put in force, where the plant asks for two.

Training and teaching put the first version of a product in force by themselves, and a later one
only while nobody has pinned which one is; a prompt knows nobody. The rule is that of policies
(``SecondPerson.stops``): whether a version lets parts pass that are stopped today stands in no file
of it, so that it waits where every change does.
"""

import asyncio
from contextlib import suppress

from andon.learning.changing import open_stores, wish_back, wish_for
from andon.learning.in_force import Stores, Wish
from andon.settings import Settings
from andon.wiring import opened, storage
from console.second_person import SecondPerson
from policies.errors import SecondPersonError
from serving.bundle_store import BundleStore
from serving.errors import StoreError

_DAMAGED = "damaged"


def is_somebody_else_asked(settings: Settings) -> bool:
    """Whether another version than the one in force needs a second person."""
    return SecondPerson(settings.console.second_person).is_asked(softens=False)


async def refuse_use_alone(
    settings: Settings, product: str, version: str, exemplars: str | None
) -> None:
    """Refuse what ``andon models use`` is asked for, where somebody else must approve it.

    Raises:
        SecondPersonError: somebody else must; and as of ``use_version``.
    """
    if is_somebody_else_asked(settings):
        stores = open_stores(settings)
        wish = await wish_for(settings, stores, product, version, "", "", exemplars)
        await refuse_alone(settings, stores, wish)


async def refuse_rollback_alone(settings: Settings, product: str) -> None:
    """The same of ``andon models rollback``: the version before may find less than this one.

    Raises:
        SecondPersonError: somebody else must approve it; and as of ``roll_back``.
    """
    if is_somebody_else_asked(settings):
        wish = await wish_back(settings, product, "", "")
        await refuse_alone(settings, open_stores(settings), wish)


async def refuse_alone(settings: Settings, stores: Stores, wish: Wish) -> None:
    """Refuse a version that somebody else must approve: at a prompt nobody is known.

    Raises:
        SecondPersonError: the plant asks for a second person, and another version is in force, or
            was the last.
        UnavailableError: the database does not answer.
    """
    asked = SecondPerson(settings.console.second_person)
    if not asked.is_asked(softens=False):
        return
    product = wish.product
    expert = await asyncio.to_thread(_in_force, stores.experts, product)
    exemplars = await asyncio.to_thread(_in_force, stores.exemplars, product)
    last = expert
    if not last:
        async with opened(storage.model_log, settings) as log:
            changes = await log.changes(product, 1)
        last = changes[0].to_expert if changes else ""
    wanted = _both(wish.expert, exemplars if wish.exemplars is None else wish.exemplars)
    if asked.stops(wanted, _both(expert, exemplars) if expert else "", last, softens=False):
        raise SecondPersonError(
            f"somebody else must approve that {product} has version {wish.expert[:12]} in force "
            f"(ANDON_CONSOLE__SECOND_PERSON is {asked}), and at a prompt nobody is known: ask for "
            "it on the console's page Models, or by POST /api/models/PRODUCT with a token"
        )


def hold_where_asked(settings: Settings, experts: BundleStore, product: str) -> None:
    """Pin the expert in force before another is written, where that one needs a second person.

    A product without a pointer has what was written last. Its first version needs nobody.

    Raises:
        StoreError: the store cannot be written.
    """
    if not is_somebody_else_asked(settings):
        return
    with suppress(StoreError):  # a damaged pointer puts nothing in force
        if experts.pointed(product) is not None:
            return
    if (digest := _in_force(experts, product)) not in ("", _DAMAGED):
        experts.point(product, digest)


def _in_force(store: BundleStore, product: str) -> str:
    try:
        return store.in_force(product) or ""
    except StoreError:
        return _DAMAGED


def _both(expert: str, exemplars: str) -> str:
    return f"{expert} {exemplars}"
