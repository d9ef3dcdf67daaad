"""``andon topics acl`` without brokers: the matrix, its rules and Kafka's own words for them."""

import json

from typer.testing import CliRunner

from andon.cli.topics import app
from streams.principals import ACCESS, Role, grants

RUNNER = CliRunner()


def test_the_matrix_names_every_topic_and_role_and_says_what_is_refused() -> None:
    shown = RUNNER.invoke(app, ["acl"]).stdout
    assert all(topic in shown for topic in ACCESS)
    assert all(role.value in shown for role in Role)
    assert "everything else is refused" in shown


def test_the_rules_as_json_are_the_grants() -> None:
    rules = json.loads(RUNNER.invoke(app, ["acl", "--json"]).stdout)
    assert len(rules) == len(list(grants()))
    assert {rule["principal"] for rule in rules} == {f"User:{role.user}" for role in Role}


def test_a_certificates_subject_stands_for_the_role() -> None:
    options = ["acl", "--commands", "--principal", "User:CN={role},O=Plant", "--host", "10.0.0.7"]
    lines = RUNNER.invoke(app, options).stdout.splitlines()
    assert len(lines) == len(list(grants()))
    assert (
        "kafka-acls --add --allow-principal 'User:CN=gateway,O=Plant' --allow-host 10.0.0.7 "
        "--operation Write --topic andon.frames"
    ) in lines


def test_what_changes_the_brokers_is_asked_for_by_apply() -> None:
    for option in (["--prune"], ["--passwords", "x"]):
        done = RUNNER.invoke(app, ["acl", *option])
        assert done.exit_code == 2
        assert "--apply" in done.output
