"""Access control lists and users at the brokers: what there is, and bringing it to what is right.

aiokafka's admin client knows the requests of access control lists and sends one rule at a time; it
does not know those of users. Both are its ``Request`` of one call here.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka.errors import for_code
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from streams.errors import AndonError, UnavailableError
from streams.kafka.connection import DOWN, KafkaConnection
from streams.kafka.refusals import explained
from streams.principals import Grant, Operation, Resource, Role, grants

ANY_HOST: Final = "*"
PRINCIPAL: Final = "User:{user}"
_ANY, _ALLOW, _LITERAL, _PREFIXED, _ANY_PATTERN = 1, 3, 3, 4, 1
_RESOURCES: Final = {2: Resource.TOPIC, 3: Resource.GROUP, 4: Resource.CLUSTER}
_OPERATIONS: Final = {
    3: Operation.READ,
    4: Operation.WRITE,
    5: Operation.CREATE,
    6: Operation.DELETE,
    7: Operation.ALTER,
    8: Operation.DESCRIBE,
    10: Operation.DESCRIBE_CONFIGS,
    11: Operation.ALTER_CONFIGS,
}
_KIND_OF: Final[Mapping[str, int]] = {word: number for number, word in _RESOURCES.items()}
_NUMBER_OF: Final[Mapping[str, int]] = {word: number for number, word in _OPERATIONS.items()}
_NOT_A_RULE: Final = 54
"""SECURITY_DISABLED: the brokers have no authorizer."""
_SCRAM_SHA_512: Final = 2
ITERATIONS: Final = 4096
"""Of PBKDF2 in SCRAM: what Kafka itself takes, and the least that it allows."""


class AccessError(AndonError):
    """The brokers did not take an access control list or a user."""


@dataclass(frozen=True, order=True)
class AccessRule:
    """One rule that allows something, as the brokers keep it."""

    principal: str
    operation: str
    resource: str
    name: str
    prefixed: bool
    host: str = ANY_HOST

    @property
    def command(self) -> str:
        """The same by Kafka's own tool."""
        named = f"--{self.resource} {self.name}"
        place = "--cluster" if self.resource == Resource.CLUSTER else named
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        host = "" if self.host == ANY_HOST else f" --allow-host {self.host}"
        return (
            f"kafka-acls --add --allow-principal '{self.principal}'{host} "
            f"--operation {self.operation} {place}{pattern}"
        )

    @property
    def is_known(self) -> bool:
        """Whether this build has words for it, and so can make and remove it."""
        return self.resource in _KIND_OF and self.operation in _NUMBER_OF


def wanted_rules(principal: str = PRINCIPAL, host: str = ANY_HOST) -> list[AccessRule]:
    """All rules of the matrix.

    Args:
        principal: how the brokers name who asks; ``{user}`` and ``{role}`` are filled in. With
            certificates instead of logins it is the subject, like ``User:CN={user}``.
        host: the address that they come from, ``*`` for any.
    """
    return sorted(_rule(grant, principal_of(grant.role, principal), host) for grant in grants())


def principal_of(role: Role, template: str = PRINCIPAL) -> str:
    """The name of a role in access control lists."""
    return template.replace("{user}", role.user).replace("{role}", role.value)


@dataclass(frozen=True)
class AccessState:
    """What the brokers have, beside what is right."""

    present: frozenset[AccessRule]
    missing: frozenset[AccessRule]
    others: frozenset[AccessRule]
    """Rules that allow more on Andon's topics and groups than the matrix does, to whomever."""

    @property
    def is_right(self) -> bool:
        """Whether nobody may do less or more."""
        return not self.missing and not self.others


def compare(there: Iterable[AccessRule], wanted: Iterable[AccessRule]) -> AccessState:
    """What is missing, and what allows more than is wanted."""
    have, want = set(there), set(wanted)
    principals = {rule.principal for rule in want}
    others = {r for r in have - want if r.principal in principals or _is_about_andon(r, want)}
    return AccessState(frozenset(have & want), frozenset(want - have), frozenset(others))


def _is_about_andon(rule: AccessRule, wanted: set[AccessRule]) -> bool:
    names = {w.name for w in wanted if w.resource == rule.resource != Resource.CLUSTER}
    if rule.name == "*":
        return bool(names)
    if rule.prefixed:
        return any(n.startswith(rule.name) or rule.name.startswith(n) for n in names)
    return rule.name in names


async def read_access(connection: KafkaConnection, wanted: Iterable[AccessRule]) -> AccessState:
    """Ask the brokers which rules they have.

    Raises:
        UnavailableError: no broker answers, or it does not let us in or see them.
        AccessError: they keep no rules: no authorizer is configured.
    """
    request = DescribeAclsRequest(_ANY, None, _ANY_PATTERN, None, None, _ANY, _ANY)
    answer = await _ask(connection, request)
    if answer.error_code == _NOT_A_RULE:
        raise AccessError(
            f"the brokers at {connection.bootstrap_servers} have no authorizer, so everybody may "
            "do everything: set authorizer.class.name and allow.everyone.if.no.acl.found=false"
        )
    _check(answer.error_code, answer.error_message)
    found = [
        AccessRule(
            principal, _word(operation), _word(kind, _RESOURCES), name, pattern == _PREFIXED, host
        )
        for kind, name, pattern, rules in answer.resources
        for principal, host, operation, permission in rules
        if permission == _ALLOW
    ]
    return compare(found, wanted)


async def add_rules(connection: KafkaConnection, rules: Iterable[AccessRule]) -> None:
    """Add them; those that are there stay. Raises as ``read_access``."""
    creations = [_fields(rule) for rule in rules]
    if creations:
        answer = await _ask(connection, _CreateAcls(creations))
        for code, message in answer.creation_responses:
            _check(code, message)


async def remove_rules(connection: KafkaConnection, rules: Iterable[AccessRule]) -> None:
    """Remove those that this build has words for. Raises as ``read_access``."""
    filters = [_fields(rule) for rule in rules if rule.is_known]
    if filters:
        answer = await _ask(connection, _DeleteAcls(filters))
        for code, message, _ in answer.filter_responses:
            _check(code, message)


@dataclass(frozen=True)
class ScramCredential:
    """What the brokers keep of a password: RFC 5802's salted one, by SHA-512."""

    salt: bytes
    salted_password: bytes = field(repr=False)
    iterations: int = ITERATIONS

    @classmethod
    def of(cls, password: str) -> "ScramCredential":
        """With a salt of its own."""
        salt = secrets.token_bytes(24)
        made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
        return cls(salt, made)


async def set_passwords(
    connection: KafkaConnection, credentials: Mapping[str, ScramCredential]
) -> None:
    """Make users that log in by SCRAM-SHA-512, or give them other passwords.

    Args:
        connection: the administrator's.
        credentials: by user; no password is sent.

    Raises:
        UnavailableError, AccessError: as ``read_access``.
    """
    upsertions: list[tuple[str, int, int, bytes, bytes, dict[int, bytes]]] = [
        (user, _SCRAM_SHA_512, made.iterations, made.salt, made.salted_password, {})
        for user, made in credentials.items()
    ]
    answer = await _ask(connection, _AlterUsers(upsertions))
    for user, code, message, _ in answer.results:
        _check(code, f"{user}: {message}")


async def _ask(connection: KafkaConnection, request: object) -> Response:
    admin = connection.admin()
    try:
        await admin.start()
        return await admin._send_to_controller(request)
    except DOWN as error:
        raise UnavailableError(f"Kafka: {await explained(error, connection)}") from error
    finally:
        await admin.close()


def _check(code: int, message: str | None) -> None:
    if code:
        raise AccessError(f"the broker refused it: {message or for_code(code).__name__}")


def _rule(grant: Grant, principal: str, host: str) -> AccessRule:
    return AccessRule(principal, grant.operation, grant.resource, grant.name, grant.prefixed, host)


def _fields(rule: AccessRule) -> tuple[int, str, int, str, str, int, int]:
    pattern = _PREFIXED if rule.prefixed else _LITERAL
    kind, operation = _KIND_OF[rule.resource], _NUMBER_OF[rule.operation]
    return kind, rule.name, pattern, rule.principal, rule.host, operation, _ALLOW


def _word(number: int, words: Mapping[int, str] = _OPERATIONS) -> str:
    return str(words.get(number, f"number {number}"))


class _CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    API_KEY = 30

    def __init__(self, creations: list[tuple[int, str, int, str, str, int, int]]) -> None:
        self.creations = creations

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self.creations)


class _DeleteAcls(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]
    API_KEY = 31

    def __init__(self, filters: list[tuple[int, str, int, str, str, int, int]]) -> None:
        self.filters = filters

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> DeleteAclsRequest_v1:
        return request_struct_class(self.filters)


class _AlterUsersResponse(Response):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsersStruct(RequestStruct):  # type: ignore[misc]
    """AlterUserScramCredentials (KIP-554), version 0."""

    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterUsersResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsers(Request[_AlterUsersStruct]):  # type: ignore[misc]
    API_KEY = 51

    def __init__(self, upsertions: list[tuple[str, int, int, bytes, bytes, dict[int, bytes]]]):
        self.upsertions = upsertions

    def build(self, request_struct_class: type[_AlterUsersStruct]) -> _AlterUsersStruct:
        return request_struct_class([], self.upsertions, {})
