"""Apache Kafka by role: who is let in, and what of all topics each role can write and read."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from andon.processes.gateway import tell_of_broker
from infra.stack.certificates import password_of
from infra.stack.kafka_local import LocalKafka, start_kafka
from infra.stack.kafka_secured import BrokerSecurity
from streams.errors import UnavailableError
from streams.kafka.access import (
    AccessError,
    AccessRule,
    ScramCredential,
    add_rules,
    read_access,
    remove_rules,
    set_passwords,
    wanted_rules,
)
from streams.kafka.connection import KafkaConnection
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.kafka.refusals import why_refused
from streams.kafka.rights import find_lacking
from streams.kafka.security import KafkaSecurity
from streams.kafka.topic_admin import ensure_topics
from streams.principals import Role, may_read, may_write
from streams.topics import ALL, Wanted
from tests.infra.needs import need_kafka
from tests.waiting import until

pytestmark = pytest.mark.slow
TOPICS = [topic.name for topic in ALL]


Secured = tuple[LocalKafka, BrokerSecurity]
T = TypeVar("T")


def run(work: Coroutine[object, object, T]) -> T:
    """Run it, and give TLS the time to say goodbye: a loop that ends before leaves sockets open."""

    async def to_the_end() -> T:
        try:
            return await work
        finally:
            selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
            own_pipe_alone = lambda: len(selector.get_map()) == 1  # noqa: E731
            await until(own_pipe_alone, 10.0, "the sockets are closed")

    return asyncio.run(to_the_end())


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    need_kafka()
    folder = tmp_path_factory.mktemp("kafka")
    security = BrokerSecurity(folder / "security")
    with start_kafka(folder / "kafka", security=security) as running:
        admin = KafkaConnection(running.bootstrap_servers, security=security.client(Role.ADMIN))
        run(ensure_topics(admin))
        yield running, security


def connection(secured: Secured, role: Role) -> KafkaConnection:
    broker, security = secured
    return KafkaConnection(
        broker.bootstrap_servers, idempotent_producer=True, security=security.client(role)
    )


async def written(own: KafkaConnection) -> list[str]:
    """The topics that take a message of this client."""
    producer, taken = own.producer(), []
    await producer.start()
    try:
        for topic in TOPICS:
            try:
                await producer.send_and_wait(topic, b"forged", key=b"line1/station1")
            except TopicAuthorizationFailedError:
                continue
            taken.append(topic)
    finally:
        await producer.stop()
    return taken


async def read(own: KafkaConnection) -> list[str]:
    """The topics of which this client is given a message that stands there."""
    shown = []
    for topic in TOPICS:
        try:
            async for records in PartitionReader(own, {topic: BEGINNING}).read_to_end():
                if records:
                    shown.append(topic)
                    break
        except UnavailableError as error:
            if f"to use topic {topic}" not in str(error):
                raise
    return shown


def test_each_role_writes_and_reads_what_it_may_and_nothing_else(secured: Secured) -> None:
    for role in Role:
        taken = run(written(connection(secured, role)))
        if role is not Role.ADMIN:  # the local administrator is a super user
            assert taken == [topic for topic in TOPICS if may_write(role, topic)], role
    for role in (Role.GATEWAY, Role.CONSOLE, Role.RECORD):
        shown = run(read(connection(secured, role)))
        assert shown == [topic for topic in TOPICS if may_read(role, topic)], role


def test_who_has_no_login_or_a_wrong_one_is_refused_in_words(secured: Secured) -> None:
    broker, security = secured
    known = security.client(Role.GATEWAY)
    for client, words in (
        (KafkaSecurity(), "set ANDON_KAFKA__SECURITY_PROTOCOL"),
        (replace(known, protocol="SSL", username="", password=""), "asks for a login"),
        (replace(known, password="guessed"), "user name or the password is wrong"),
        (replace(known, username="mallory"), "refuses user 'mallory'"),
        (replace(known, mechanism="PLAIN"), "does not take PLAIN"),
        (replace(known, ca_file=None), "ANDON_KAFKA__CA_FILE"),
    ):
        own = KafkaConnection(broker.bootstrap_servers, 3.0, security=client)
        assert words in (run(why_refused(own)) or "nothing"), client
    for role in Role:
        assert run(why_refused(connection(secured, role))) is None


def test_rules_are_found_added_and_removed(secured: Secured) -> None:
    admin, wanted = connection(secured, Role.ADMIN), wanted_rules()
    assert run(read_access(admin, wanted)).is_right
    anybody = AccessRule("User:*", "Write", "topic", "andon.decisions", False)
    run(add_rules(admin, [anybody]))
    assert run(read_access(admin, wanted)).others == {anybody}
    run(remove_rules(admin, [anybody]))
    state = run(read_access(admin, wanted))
    assert state.is_right
    some = sorted(state.present)[:3]
    run(remove_rules(admin, some))
    assert run(read_access(admin, wanted)).missing == set(some)
    run(add_rules(admin, some))
    assert run(read_access(admin, wanted)).is_right


def test_a_role_can_neither_see_nor_change_the_rules_nor_make_topics(secured: Secured) -> None:
    own = connection(secured, Role.PROCESS)
    with pytest.raises(AccessError, match="refused"):
        run(read_access(own, wanted_rules()))
    with pytest.raises(AccessError, match="refused"):
        run(add_rules(own, [AccessRule("User:*", "Write", "topic", "andon.decisions", False)]))
    admin = connection(secured, Role.ADMIN)
    assert run(read_access(admin, wanted_rules())).is_right


def test_a_user_is_given_another_password(secured: Secured) -> None:
    _, security = secured
    admin, own = connection(secured, Role.ADMIN), connection(secured, Role.JOIN)
    other = replace(own, security=replace(own.security, password="another"))
    run(set_passwords(admin, {Role.JOIN.user: ScramCredential.of("another")}))
    assert run(why_refused(other)) is None
    assert "is wrong" in (run(why_refused(own)) or "")
    right = ScramCredential.of(password_of(security.folder, Role.JOIN.user))
    run(set_passwords(admin, {Role.JOIN.user: right}))
    assert run(why_refused(own)) is None


def test_no_password_is_in_the_log_or_on_the_command_line(secured: Secured) -> None:
    broker, security = secured
    words = Path(f"/proc/{broker.pid}/cmdline").read_bytes().decode()
    words += broker.process.log_path.read_text() + " ".join(security.format_words())
    for file in security.folder.glob("*.password"):
        assert file.read_text() not in words


def test_a_worker_with_another_roles_login_ends_and_says_which_rights_it_lacks(
    secured: Secured, tmp_path: Path
) -> None:
    own = connection(secured, Role.RECORD)
    environment = {
        **os.environ,
        "ANDON_KAFKA__BOOTSTRAP_SERVERS": own.bootstrap_servers,
        "ANDON_KAFKA__SECURITY_PROTOCOL": own.security.protocol,
        "ANDON_KAFKA__USERNAME": own.security.username,
        "ANDON_KAFKA__PASSWORD": own.security.password,
        "ANDON_KAFKA__CA_FILE": str(own.security.ca_file),
        "ANDON_PATHS__STATE": str(tmp_path),
    }
    command = [sys.executable, "-m", "andon", "worker", "limits"]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    said = " ".join(ended.stdout.split()) + " ".join(ended.stderr.split())
    assert ended.returncode == 1, said
    for words in (
        "the role limits cannot work",
        "user 'andon-record'",
        "Write on topic andon.alerts",
        "Read on topic andon.policies",
        "ANDON_KAFKA__USERNAME is 'andon-limits'",
        "andon topics acl",
    ):
        assert words in said
    assert "Read on topic andon.decisions" not in said, "record may read those"
    assert own.security.password not in said


def test_a_gateway_with_another_roles_login_says_so_and_goes_on(secured: Secured) -> None:
    said: list[str] = []

    def say(event: str, **fields: object) -> None:
        said.append(f"{event} {fields}")

    run(tell_of_broker(connection(secured, Role.GATEWAY), Wanted(), say))
    assert not [line for line in said if "rights" in line]
    run(tell_of_broker(connection(secured, Role.INSPECT), Wanted(), say))
    (line,) = (line for line in said if "gateway.lacks_rights" in line)
    assert "Write on topic andon.acks" in line


def test_each_role_may_do_what_it_is_for_and_one_rule_less_is_named(secured: Secured) -> None:
    for role in Role:
        assert run(find_lacking(connection(secured, role), role)) == []
    admin = connection(secured, Role.ADMIN)
    rules = [r for r in wanted_rules() if r.name == "andon-join" and r.operation == "Read"]
    run(remove_rules(admin, rules))
    try:
        lacking = run(find_lacking(connection(secured, Role.JOIN), Role.JOIN))
    finally:
        run(add_rules(admin, rules))
    assert [str(one) for one in lacking] == ["Read on consumer group andon-join"]
