"""``andon stack env``: each role is given its own login, and nobody else's."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli.stack import app
from andon.settings import load_settings
from andon.stack.local import LocalStack, StackPorts
from andon.wiring.signed_policies import policy_signer
from history.object_rights import RIGHTS
from history.rights import OF_LINE
from policies.signing import TrustedKeys
from streams.envelope import Message
from streams.principals import Role, may_write
from streams.topics import POLICIES


def test_each_role_has_a_login_of_its_own_in_a_secured_stack(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, StackPorts.free(), secure=True)
    found = {role: stack.environment(role) for role in Role}
    assert {e["ANDON_KAFKA__USERNAME"] for e in found.values()} == {role.user for role in Role}
    assert len({e["ANDON_KAFKA__PASSWORD"] for e in found.values()}) == len(Role)
    assert stack.environment() == found[Role.ADMIN]
    own = stack.settings(Role.JOIN).kafka
    assert own.security.username == "andon-join"
    assert own.security_protocol == "SASL_SSL"
    assert own.idempotent_producer


def test_the_embedded_broker_is_asked_most_often_where_every_part_waits(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, StackPorts.free())
    waits = {role: stack.settings(role).kafka.fetch_max_wait_ms for role in Role}
    every_part = {waits[role] for role in (Role.GATEWAY, Role.INSPECT, Role.JOIN)}
    assert len(every_part) == 1
    assert waits[Role.CLASSIFY] > max(every_part)
    of_kafka = LocalStack(tmp_path, StackPorts.free(), broker_kind="kafka")
    assert len({of_kafka.settings(role).kafka.fetch_max_wait_ms for role in Role}) == 1


def test_each_role_is_given_its_own_way_to_the_stores(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, StackPorts.free(), secure=True)
    found = {role: stack.settings(role) for role in Role}
    urls = {role: own.postgres.url.get_secret_value() for role, own in found.items()}
    for role, url in urls.items():
        login, _, password = url.partition("://")[2].partition("@")[0].partition(":")
        assert login == role.user
        assert bool(password) == (role in OF_LINE), "a role without rights has no login"
    secrets = [own.s3.secret_key.get_secret_value() for own in found.values()]
    without = [role for role in Role if role is not Role.ADMIN and role not in RIGHTS]
    assert len(set(secrets)) == len(Role) - len(without) + 1
    signing = {role for role, own in found.items() if own.signing.key_file is not None}
    assert signing == {role for role in Role if may_write(role, POLICIES.name)}


@pytest.mark.parametrize("role", [Role.PROCESS, Role.ADMIN])
def test_what_a_role_signs_is_trusted_by_all(tmp_path: Path, role: Role) -> None:
    stack = LocalStack(tmp_path, StackPorts.free(), secure=True)
    signer = policy_signer(stack.settings(role))
    folder = stack.settings(Role.INSPECT).signing.trusted_keys
    assert signer is not None
    assert folder is not None
    signed = signer.sign(Message(b"textile", b"{}", ()))
    assert TrustedKeys.load(folder).serial_of(b"textile", b"{}", signed.headers)


def test_without_it_nobody_logs_in(tmp_path: Path) -> None:
    plain = LocalStack(tmp_path, StackPorts.free()).environment(Role.JOIN)
    assert not [name for name in plain if "PASSWORD" in name or "SECURITY" in name]
    assert not list(tmp_path.iterdir())


def test_the_lines_are_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_SECURE", "1")
    load_settings.cache_clear()
    folder = tmp_path / "a stack"
    try:
        refused = CliRunner().invoke(app, ["env", "inspect", "--folder", str(folder)])
        assert "andon stack up" in str(refused.exception)
        (folder / "security").mkdir(parents=True)
        shown = CliRunner().invoke(app, ["env", "inspect", "--folder", str(folder)]).stdout
    finally:
        load_settings.cache_clear()
    assert "export ANDON_KAFKA__USERNAME=andon-inspect\n" in shown
    assert f"export ANDON_KAFKA__CA_FILE='{folder}/security/ca.pem'\n" in shown
