"""Who is in the roles' consumer groups."""

from aiokafka.errors import KafkaError

from streams.codes import Stage
from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import app_id

ROLES = (Stage.INSPECT, Stage.CLASSIFY, Stage.JOIN, Stage.RECORD, Stage.LIMITS)


async def count_members(connection: KafkaConnection) -> dict[str, int] | None:
    """How many workers each role's group has; None where the broker cannot describe its groups.

    The embedded broker cannot: its answer is not what the protocol says.
    """
    admin = connection.admin()
    try:
        await admin.start()
        groups = {app_id(role.value): role.value for role in ROLES}
        answers = await admin.describe_consumer_groups(list(groups))
        found = {}
        for answer in answers:
            for _, group, _, _, _, members, *_ in answer.groups:
                found[groups[group]] = len(members)
        return found
    except (KafkaError, OSError, ValueError):
        return None
    finally:
        await admin.close()
