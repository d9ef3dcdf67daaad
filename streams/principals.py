"""Who may speak on Kafka: the roles of a line, and what each may do on which topic and group.

It is data. The access control lists that ``andon topics acl`` applies, the table of the security
page and the tests derive from it; whatever it does not allow is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streams import topics


class Role(StrEnum):
    """What a process of Andon, or the person behind a command, is to the broker."""

    GATEWAY = "gateway"
    INSPECT = "inspect"
    CLASSIFY = "classify"
    JOIN = "join"
    LIMITS = "limits"
    RECORD = "record"
    MQTT = "mqtt"
    CONSOLE = "console"
    PROCESS = "process"
    """People who put policies in force and review parts at a prompt."""
    ADMIN = "admin"
    """Creates topics, users and access control lists; migrates the database."""

    @property
    def user(self) -> str:
        """The user name at the broker.

        >>> Role.INSPECT.user
        'andon-inspect'
        """
        return f"{PREFIX}-{self.value}"

    @property
    def group(self) -> str | None:
        """The consumer group that it joins; None where partitions are assigned by hand."""
        return f"{PREFIX}-{self.value}" if self in CONSUMING else None


PREFIX: Final = "andon"
"""Topics begin with it and a dot, users and consumer groups with it and a dash."""
CONSUMING: Final = (Role.INSPECT, Role.CLASSIFY, Role.JOIN, Role.LIMITS, Role.RECORD, Role.MQTT)
"""The workers: each joins a consumer group of its own, with one Faust application.

Faust is run without tables, leader topic and topic declaration, so there is no internal topic: the
changelog of the limits is ``andon.counted``. Nothing is transactional, and an idempotent producer
needs no right beyond writing its topic (KIP-679; Apache Kafka 3.0 or newer).
"""


@dataclass(frozen=True)
class Access:
    """Who writes a topic and who reads it."""

    topic: topics.Topic
    writers: frozenset[Role]
    readers: frozenset[Role]


def _access(topic: topics.Topic, writers: tuple[Role, ...], readers: tuple[Role, ...]) -> Access:
    return Access(topic, frozenset(writers), frozenset(readers))


_DECIDERS = (Role.INSPECT, Role.CLASSIFY, Role.JOIN, Role.GATEWAY)
_TELLING = (Role.RECORD, Role.MQTT, Role.CONSOLE)
"""They keep or show what became of a part."""
_FOLLOW_POLICIES = (*_DECIDERS, Role.LIMITS, Role.CONSOLE, Role.PROCESS)

ACCESS: Final[Mapping[str, Access]] = {
    access.topic.name: access
    for access in (
        _access(topics.FRAMES, (Role.GATEWAY,), (Role.INSPECT,)),
        _access(topics.ANOMALIES, (Role.INSPECT,), (Role.CLASSIFY, Role.RECORD)),
        _access(topics.DECISIONS, _DECIDERS, (Role.GATEWAY, Role.LIMITS, *_TELLING)),
        _access(
            topics.SHOTS, (Role.INSPECT, Role.CLASSIFY, Role.GATEWAY), (Role.JOIN, Role.RECORD)
        ),
        _access(topics.ACKS, (Role.GATEWAY,), _TELLING),
        _access(topics.REVIEWS, (Role.CONSOLE, Role.PROCESS), (Role.RECORD,)),
        _access(topics.POLICIES, (Role.CONSOLE, Role.PROCESS, Role.ADMIN), _FOLLOW_POLICIES),
        _access(topics.PARTS, (Role.LIMITS,), (Role.LIMITS,)),
        _access(topics.COUNTED, (Role.LIMITS,), (Role.LIMITS,)),
        _access(topics.ALERTS, (Role.LIMITS,), (Role.GATEWAY, *_TELLING)),
        _access(
            topics.CHANGEOVERS,
            (Role.GATEWAY, Role.INSPECT),
            (Role.GATEWAY, Role.INSPECT, Role.RECORD),
        ),
        _access(topics.STATUS, (*CONSUMING, Role.GATEWAY), (Role.CONSOLE,)),
        _access(topics.DEAD, (*CONSUMING, Role.GATEWAY), (Role.RECORD, Role.PROCESS)),
    )
}
"""Topic -> who writes and who reads it. ``Role.ADMIN`` may read everything besides."""


def may_write(role: Role, topic: str) -> bool:
    """Whether the role may write the topic; nobody may write one that is not in ``ACCESS``."""
    return topic in ACCESS and role in ACCESS[topic].writers


def may_read(role: Role, topic: str) -> bool:
    """Whether the role may read the topic."""
    return topic in ACCESS and (role in ACCESS[topic].readers or role is Role.ADMIN)


class Resource(StrEnum):
    """What an access control list is about, in the words of ``kafka-acls``."""

    TOPIC = "topic"
    GROUP = "group"
    CLUSTER = "cluster"


class Operation(StrEnum):
    """What may be done with it, in the words of ``kafka-acls``."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    ALTER = "Alter"
    ALTER_CONFIGS = "AlterConfigs"
    DELETE = "Delete"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


@dataclass(frozen=True)
class Grant:
    """One rule of the access control lists: a role may do this with that."""

    role: Role
    operation: Operation
    resource: Resource
    name: str
    prefixed: bool = False
    """Whether the name is how the resource's begins."""


CLUSTER_NAME: Final = "kafka-cluster"
"""Kafka's name of the one cluster resource."""
_ADMIN_TOPICS = (
    Operation.READ,
    Operation.CREATE,
    Operation.ALTER,
    Operation.ALTER_CONFIGS,
    Operation.DELETE,
)
_ADMIN_CLUSTER = (Operation.CREATE, Operation.ALTER, Operation.DESCRIBE)


def grants() -> Iterator[Grant]:
    """Every rule; what none of them names is refused.

    All roles may see which topics and groups there are and how topics are configured: a process
    checks both before it works, and names what is missing. What a topic holds is shown to its
    readers alone.
    """
    for role in Role:
        for operation in (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS):
            yield Grant(role, operation, Resource.TOPIC, f"{PREFIX}.", prefixed=True)
        yield Grant(role, Operation.DESCRIBE, Resource.GROUP, f"{PREFIX}-", prefixed=True)
        for access in ACCESS.values():
            if role in access.writers:
                yield Grant(role, Operation.WRITE, Resource.TOPIC, access.topic.name)
            if role in access.readers:
                yield Grant(role, Operation.READ, Resource.TOPIC, access.topic.name)
        if role.group is not None:
            yield Grant(role, Operation.READ, Resource.GROUP, role.group)
    for operation in _ADMIN_TOPICS:
        yield Grant(Role.ADMIN, operation, Resource.TOPIC, f"{PREFIX}.", prefixed=True)
    for operation in _ADMIN_CLUSTER:
        yield Grant(Role.ADMIN, operation, Resource.CLUSTER, CLUSTER_NAME)
