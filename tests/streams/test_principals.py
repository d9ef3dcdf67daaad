"""Who may write and read what, as the line's guarantees need it."""

import re
from pathlib import Path

import pytest

from andon.processes.worker import READ
from streams.kafka.faust_app import app_id
from streams.principals import (
    ACCESS,
    CONSUMING,
    Operation,
    Resource,
    Role,
    grants,
    may_read,
    may_write,
)
from streams.topics import (
    ACKS,
    ALERTS,
    ALL,
    ANOMALIES,
    CHANGEOVERS,
    COUNTED,
    DEAD,
    DECISIONS,
    FRAMES,
    PARTS,
    POLICIES,
    REVIEWS,
    SHOTS,
    STATUS,
    Topic,
)

ROOT = Path(__file__).parents[2]
WRITERS = {
    FRAMES: {"gateway"},
    ANOMALIES: {"inspect"},
    DECISIONS: {"inspect", "classify", "join", "gateway"},
    SHOTS: {"inspect", "classify", "gateway"},
    ACKS: {"gateway"},
    REVIEWS: {"console", "process"},
    POLICIES: {"admin", "console", "process"},
    PARTS: {"limits"},
    COUNTED: {"limits"},
    ALERTS: {"limits"},
    CHANGEOVERS: {"gateway", "inspect"},
    STATUS: {"inspect", "classify", "join", "limits", "record", "mqtt", "gateway"},
    DEAD: {"inspect", "classify", "join", "limits", "record", "mqtt", "gateway"},
}


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_only_these_roles_write_a_topic(topic: Topic) -> None:
    assert {role.value for role in Role if may_write(role, topic.name)} == WRITERS[topic]


def test_every_topic_has_writers_and_readers() -> None:
    assert set(ACCESS) == {topic.name for topic in ALL}
    for access in ACCESS.values():
        assert access.writers
        assert access.readers


@pytest.mark.parametrize("name", READ)
def test_a_worker_may_read_what_it_reads_and_join_its_group(name: str) -> None:
    role = Role(name)
    assert role in CONSUMING
    assert role.group == app_id(name)
    for topic in READ[name]:
        assert may_read(role, topic.name)


def test_a_frame_is_shown_to_inspect_and_the_administrator_alone() -> None:
    assert [role for role in Role if may_read(role, FRAMES.name)] == [Role.INSPECT, Role.ADMIN]


def test_nobody_writes_or_reads_a_topic_that_is_not_of_the_line() -> None:
    assert not any(may_write(role, "payments") or may_read(role, "payments") for role in Role)


def test_the_rules_are_the_matrix_and_what_every_process_checks_before_it_works() -> None:
    rules = list(grants())
    assert len(set(rules)) == len(rules)
    exact = {
        (rule.role, rule.operation, rule.name)
        for rule in rules
        if rule.resource is Resource.TOPIC and not rule.prefixed
    }
    assert exact == {
        (role, operation, access.topic.name)
        for access in ACCESS.values()
        for operation, roles in (
            (Operation.WRITE, access.writers),
            (Operation.READ, access.readers),
        )
        for role in roles
    }
    wide = {
        (rule.role, rule.operation)
        for rule in rules
        if rule.prefixed and rule.role is not Role.ADMIN
    }
    assert {operation for _, operation in wide} == {
        Operation.DESCRIBE,
        Operation.DESCRIBE_CONFIGS,
    }
    assert {rule.role for rule in rules if rule.resource is Resource.CLUSTER} == {Role.ADMIN}


def test_every_group_is_read_by_its_own_role_alone() -> None:
    groups = [
        (rule.role, rule.name)
        for rule in grants()
        if rule.resource is Resource.GROUP and rule.operation is Operation.READ
    ]
    assert groups == [(role, f"andon-{role.value}") for role in CONSUMING]


def test_what_the_code_sends_is_what_its_roles_may_write() -> None:
    """A new ``send`` in the rooms below names its topic, which some role must be able to write."""
    sent: set[str] = set()
    for room in ("streams", "connectors", "policies", "history"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            sent |= set(re.findall(r"send\(\s*([A-Z]+)\.name", text))
    by_name = {topic.name.removeprefix("andon.").upper(): topic for topic in ALL}
    assert len(sent) >= 8
    assert all(any(may_write(role, by_name[name].name) for role in Role) for name in sent)
