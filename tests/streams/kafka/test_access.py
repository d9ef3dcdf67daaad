"""Rules as the brokers keep them: what is missing, what allows too much, and Kafka's own words."""

import pytest

from streams.kafka.access import AccessRule, AccessState, compare, principal_of, wanted_rules
from streams.principals import Role

WANTED = wanted_rules()
WRITE = AccessRule("User:andon-gateway", "Write", "topic", "andon.frames", False)


def test_each_role_is_a_user_or_a_certificate() -> None:
    assert WRITE in WANTED
    assert principal_of(Role.JOIN) == "User:andon-join"
    by_certificate = wanted_rules("User:CN={role}.line,O=Plant", "10.0.0.7")
    assert {rule.host for rule in by_certificate} == {"10.0.0.7"}
    assert "User:CN=gateway.line,O=Plant" in {rule.principal for rule in by_certificate}
    assert len(by_certificate) == len(WANTED)


def test_what_is_missing_is_found() -> None:
    state = compare([rule for rule in WANTED if rule != WRITE], WANTED)
    assert state == AccessState(frozenset(WANTED) - {WRITE}, frozenset({WRITE}), frozenset())
    assert not state.is_right
    assert compare(WANTED, WANTED).is_right


@pytest.mark.parametrize(
    "rule",
    [
        AccessRule("User:*", "Write", "topic", "andon.decisions", False),
        AccessRule("User:bob", "All", "topic", "*", False),
        AccessRule("User:bob", "Read", "topic", "andon.fr", True),
        AccessRule("User:bob", "Read", "topic", "andon.frames.more", True),
        AccessRule("User:bob", "Delete", "group", "andon-inspect", False),
        AccessRule("User:andon-limits", "Write", "topic", "payments", False),
        AccessRule("User:andon-limits", "Alter", "cluster", "kafka-cluster", False),
    ],
)
def test_whoever_may_more_than_the_matrix_says_is_found(rule: AccessRule) -> None:
    assert compare([*WANTED, rule], WANTED).others == {rule}


@pytest.mark.parametrize(
    "rule",
    [
        AccessRule("User:bob", "Write", "topic", "payments", False),
        AccessRule("User:bob", "Alter", "cluster", "kafka-cluster", False),
        AccessRule("User:bob", "Read", "group", "payments", True),
    ],
)
def test_what_is_not_about_the_line_is_left_alone(rule: AccessRule) -> None:
    assert compare([*WANTED, rule], WANTED).is_right


def test_a_rule_in_the_words_of_kafka_acls() -> None:
    assert WRITE.command == (
        "kafka-acls --add --allow-principal 'User:andon-gateway' --operation Write "
        "--topic andon.frames"
    )
    cluster = AccessRule("User:a", "Alter", "cluster", "kafka-cluster", False, "10.0.0.7")
    assert cluster.command == (
        "kafka-acls --add --allow-principal 'User:a' --allow-host 10.0.0.7 --operation Alter "
        "--cluster"
    )
    prefixed = AccessRule("User:a", "Describe", "group", "andon-", True)
    assert prefixed.command.endswith("--group andon- --resource-pattern-type prefixed")
