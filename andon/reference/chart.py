"""What the Helm chart makes of topics, of who may use them, and of settings, from the same data."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from andon.settings import Settings
from andon.settings_names import OTHERS, PREFIX, variables_of
from andon.settings_secrets import files_of
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


def settings() -> str:
    """The environment's names of all settings, and those below which a plant names more."""
    places = variables_of(Settings)
    names = {*places, *files_of(Settings), *(name for name in OTHERS if name.startswith(PREFIX))}
    opened = [name for name, place in places.items() if place.has_free_names or place.is_list]
    return json.dumps({"names": sorted(names), "open": sorted(opened)}, indent=1) + "\n"


def _acl(grant: Grant) -> dict[str, object]:
    resource = {"type": grant.resource.value}
    if grant.resource is not Resource.CLUSTER:
        resource |= {"name": grant.name, "patternType": "prefix" if grant.prefixed else "literal"}
    return {"resource": resource, "operations": [grant.operation.value], "host": "*"}


def _json(rows: list[dict[str, object]]) -> str:
    return json.dumps(rows, indent=1) + "\n"


FOLDER: Final = "infra/chart/files"
WRITERS: Mapping[str, Callable[[], str]] = {
    "topics.json": topics,
    "roles.json": roles,
    "settings.json": settings,
}
"""Name of the file -> its text."""
