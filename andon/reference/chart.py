"""What the Helm chart makes of the topics and of who may use them, from the same data."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from streams.principals import Grant, Resource, Role, grants
from streams.topics import ALL


def topics() -> str:
    """Every topic as Strimzi's KafkaTopic wants it: partitions and the broker's configuration."""
    return _json(
        [
            {"name": topic.name, "partitions": topic.partitions, "config": topic.config}
            for topic in ALL
        ]
    )


def roles() -> str:
    """Every role's user and access control list, in the words of Strimzi's KafkaUser."""
    return _json(
        [
            {"user": role.user, "acls": [_acl(grant) for grant in grants() if grant.role is role]}
            for role in Role
        ]
    )


def _acl(grant: Grant) -> dict[str, object]:
    resource = {"type": grant.resource.value}
    if grant.resource is not Resource.CLUSTER:
        resource |= {"name": grant.name, "patternType": "prefix" if grant.prefixed else "literal"}
    return {"resource": resource, "operations": [grant.operation.value], "host": "*"}


def _json(rows: list[dict[str, object]]) -> str:
    return json.dumps(rows, indent=1) + "\n"


FOLDER: Final = "infra/chart/files"
WRITERS: Mapping[str, Callable[[], str]] = {"topics.json": topics, "roles.json": roles}
"""Name of the file -> its text."""
