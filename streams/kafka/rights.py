"""Whether this client may do at the broker what its role must, asked before it begins.

A worker with another role's login, or without a rule of the access control lists, would try for
ever and do nothing. The broker tells each client its own rights (KIP-430); aiokafka does not ask
for them, so that both requests are written here.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from streams.errors import AndonError
from streams.kafka.connection import DOWN, KafkaConnection
from streams.kafka.refusals import AUTHORIZATION, REMEDY
from streams.log import Log
from streams.principals import ACCESS, Operation, Role, may_read, may_write
from streams.topics import STATUS

_BITS: Final = {Operation.READ: 1 << 3, Operation.WRITE: 1 << 4}
"""An operation's number in the protocol is its bit in what the broker tells."""
_UNKNOWN: Final = (0, -(1 << 31))
"""What a broker without access control lists, or an older one, says."""
_SPARED: Final = f"topic {STATUS.name}"
"""Nobody's work needs it: who may not tell how it is works on, as after an upgrade from before."""
_NOT_ALLOWED: Final = tuple(error.errno for error in AUTHORIZATION)


class RightsError(AndonError):
    """The broker lets us in, and does not let us do what the role is for."""


@dataclass(frozen=True)
class Lacking:
    """A right that a role needs and that this client does not have."""

    operation: Operation
    what: str
    """The topic or the consumer group."""

    def __str__(self) -> str:
        """For a log.

        >>> str(Lacking(Operation.READ, "topic andon.frames"))
        'Read on topic andon.frames'
        """
        return f"{self.operation} on {self.what}"


def needed(role: Role) -> Iterator[tuple[str, Operation]]:
    """The topics that a role reads and writes.

    >>> sorted(needed(Role.INSPECT))[0]
    ('andon.anomalies', <Operation.WRITE: 'Write'>)
    """
    for topic in ACCESS:
        if may_read(role, topic):
            yield topic, Operation.READ
        if may_write(role, topic):
            yield topic, Operation.WRITE


def judge(role: Role, topics: Mapping[str, int], group: int | None) -> list[Lacking]:
    """What is lacking: pure.

    Args:
        role: what the client is to do.
        topics: topic -> the bits of what this client may do; what is absent is not judged.
        group: the same of the role's consumer group.
    """
    found = [
        Lacking(operation, f"topic {topic}")
        for topic, operation in needed(role)
        if topics.get(topic, 0) not in _UNKNOWN and not topics[topic] & _BITS[operation]
    ]
    if group is not None and group not in _UNKNOWN and not group & _BITS[Operation.READ]:
        found.append(Lacking(Operation.READ, f"consumer group {role.group}"))
    return found


async def require_rights(connection: KafkaConnection, role: Role, log: Log) -> None:
    """Returns where the role may do all that it is for, or where the broker does not say.

    Raises:
        RightsError: names role, user, topics, rights and what to do.
    """
    try:
        lacking = await find_lacking(connection, role)
    except (*DOWN, NotImplementedError, ValueError) as error:
        log("the rights at the broker were not asked", why=f"{type(error).__name__}: {error}")
        return
    if any(right.what == _SPARED for right in lacking):
        log("may not say how it is", topic=STATUS.name, remedy=REMEDY)
    if lacking := [right for right in lacking if right.what != _SPARED]:
        listed = ", ".join(map(str, lacking))
        raise RightsError(
            f"the role {role} cannot work: the broker {connection.bootstrap_servers} does not give "
            f"{connection.security.who} {listed}. Either these are another role's credentials "
            f"(ANDON_KAFKA__USERNAME is {role.user!r} as shipped), or the access control list "
            f"lacks the right: {REMEDY}"
        )


async def find_lacking(connection: KafkaConnection, role: Role) -> list[Lacking]:
    """Ask the broker what this client may do.

    Raises:
        KafkaError, OSError, TimeoutError: it does not answer.
        NotImplementedError: it is too old to tell.
    """
    admin = connection.admin()
    try:
        async with asyncio.timeout(2 * connection.request_timeout_s):
            await admin.start()
            answer = await admin._send_request(_Metadata(sorted(ACCESS)))
            topics = dict(_rights(answer))
            group = None if role.group is None else await _group_rights(admin, role.group)
    finally:
        await admin.close()
    return judge(role, topics, group)


async def _group_rights(admin: AIOKafkaAdminClient, group: str) -> int | None:
    """None where the broker does not know yet who coordinates groups."""
    try:
        coordinator = await admin.find_coordinator(group)
    except GroupCoordinatorNotAvailableError:
        return None
    told = await admin._send_request(_DescribeGroup(group), coordinator)
    code, *_, operations = told.groups[0]
    return None if code else operations


def _rights(answer: Response) -> Iterator[tuple[str, int]]:
    """Of each topic that there is."""
    for code, name, _, _, operations in answer.topics:
        if code in _NOT_ALLOWED:
            yield name, 1  # not even to see that it is there
        elif not code:
            yield name, operations


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    """Metadata, version 8: the first that tells a client its rights."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self.topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        return request_struct_class(self.topics, False, False, True)


class _DescribeGroupStruct(RequestStruct):  # type: ignore[misc]
    """DescribeGroups, version 3; aiokafka 0.14 reads its answer by an older form."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(String("utf-8"))), ("include_operations", Boolean))


class _DescribeGroup(Request[_DescribeGroupStruct]):  # type: ignore[misc]
    API_KEY = 15

    def __init__(self, group: str) -> None:
        self.group = group

    def build(self, request_struct_class: type[_DescribeGroupStruct]) -> _DescribeGroupStruct:
        return request_struct_class([self.group], True)
