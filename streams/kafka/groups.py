"""Who is in the roles' consumer groups."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import app_id
from streams.principals import CONSUMING


async def count_members(connection: KafkaConnection) -> dict[str, int] | None:
    """How many workers each role's group has; None where the broker does not say."""
    admin = connection.admin()
    try:
        await admin.start()
        # one by one: aiokafka misreads an answer about several groups
        return {role.value: await _members(admin, app_id(role.value)) for role in CONSUMING}
    except (KafkaError, OSError, ValueError):
        return None
    finally:
        await admin.close()


async def _members(admin: AIOKafkaAdminClient, group: str) -> int:
    (answer,) = await admin.describe_consumer_groups([group])
    ((_, _, state, _, _, members, *_),) = answer.groups
    return len(members) if state == "Stable" else 0  # in a rebalance nobody is given anything
