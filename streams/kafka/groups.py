"""Who is in the roles' consumer groups."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import app_id
from streams.principals import CONSUMING

_NOBODY: Final[Mapping[str, Collection[str]]] = MappingProxyType({})
_UUID: Final = 36
"""Length of what a broker makes of a static member's name its id with."""


async def count_members(
    connection: KafkaConnection, ended: Mapping[str, Collection[str]] = _NOBODY
) -> dict[str, int] | None:
    """How many workers each role's group has; None where the broker does not say.

    Args:
        connection: to the broker.
        ended: by role the names of static members that are known to have ended. A broker keeps
            them until their session is over, and the embedded one until somebody else joins.
    """
    admin = connection.admin()
    try:
        await admin.start()
        # one by one: aiokafka misreads an answer about several groups
        return {
            role.value: await _members(admin, app_id(role.value), ended.get(role.value, ()))
            for role in CONSUMING
        }
    except (KafkaError, OSError, ValueError):
        return None
    finally:
        await admin.close()


async def _members(admin: AIOKafkaAdminClient, group: str, ended: Collection[str]) -> int:
    (answer,) = await admin.describe_consumer_groups([group])
    ((_, _, state, _, _, members, *_),) = answer.groups
    if state != "Stable":
        return 0  # in a rebalance nobody is given anything
    gone = {*ended, *(f"{group}-{name}" for name in ended)}  # the embedded broker adds the group
    return sum(member[0][: -_UUID - 1] not in gone for member in members)
