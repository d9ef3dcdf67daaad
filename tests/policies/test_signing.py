"""Signed policies: who can write the topic makes none, and brings none back."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from andon.cli.policy.commands import app
from andon.settings import Settings, load_settings
from andon.wiring import signed_policies
from infra.stack.broker import Broker, start_broker
from policies.disk_cache import DiskCache
from policies.errors import PolicyError
from policies.in_force import PoliciesInForce
from policies.publish import publish, withdraw
from policies.signing import (
    SERIAL,
    SIGNATURE,
    SIGNED_BY,
    Signer,
    TrustedKeys,
    UnsignedPolicyError,
    key_id,
    make_key,
)
from policies.source import KafkaPolicySource
from streams.codes import Action
from streams.envelope import Message, to_message
from streams.events import PolicyInForce
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.publisher import KafkaPublisher
from streams.topics import POLICIES
from tests.contracts.test_policy_source import action_of, policy, until

AT = datetime(2026, 11, 29, tzinfo=UTC)
OURS = Signer(Ed25519PrivateKey.from_private_bytes(b"o" * 32), now=lambda: 1000.0)
THEIRS = Signer(Ed25519PrivateKey.from_private_bytes(b"t" * 32), now=lambda: 2000.0)
TRUSTED = TrustedKeys({key_id(OURS.key.public_key()): OURS.key.public_key()})


def message(product: str, action: str) -> Message:
    made = policy(product, action)
    event = PolicyInForce(
        product_id=product, policy_hash=made.policy_hash, body=dict(made.body), applied_at=AT
    )
    return to_message(event)


def record(sent: Message, offset: int = 0) -> Delivery:
    return Delivery(POLICIES.name, 0, offset, sent.key, sent.value, sent.headers)


class Topic:
    """A follower's state behind messages that are put on the topic one after the other."""

    def __init__(self, trusted: TrustedKeys | None = TRUSTED) -> None:
        self.state = PoliciesInForce(trusted)
        self.serial = 0

    def put(self, sent: Message, is_new: bool = True) -> None:
        self.state.take(record(sent), is_new)
        if is_new:
            self.state.caught_up()

    def apply(self, action: str, signer: Signer = OURS) -> Message:
        sent = signer.sign(message("tile", action), self.serial)
        self.serial = int(dict(sent.headers)[SERIAL])
        self.put(sent)
        return sent

    @property
    def action(self) -> str:
        found = self.state.policies.get("tile")
        return str(found.document.classes["crack"].action) if found else "held"


def header(sent: Message, name: str, value: bytes) -> Message:
    kept = tuple(pair for pair in sent.headers if pair[0] != name)
    return replace(sent, headers=(*kept, (name, value)))


def test_a_signed_policy_is_in_force_and_a_rollback_is_a_new_signature() -> None:
    topic = Topic()
    for action in ("scrap", "rework", "scrap"):
        topic.apply(action)
        assert topic.action == action
    assert topic.state.refused == {}


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (lambda good: message("tile", "pass"), "no signature"),
        (lambda good: THEIRS.sign(message("tile", "pass")), "not among the trusted"),
        (lambda good: header(good, SERIAL, b"9" * 17), "not over what it says"),
        (lambda good: header(good, SERIAL, b"9" * 40), "no number"),
        (lambda good: header(good, SERIAL, b"-1"), "no number"),
        (lambda good: header(good, SIGNATURE, b"!"), "not over what it says"),
        (lambda good: replace(good, value=message("tile", "pass").value), "not over what it says"),
        (lambda good: replace(message("tile", "pass"), headers=good.headers), "not over"),
        (
            lambda good: header(
                THEIRS.sign(message("tile", "pass")),
                SIGNED_BY,
                key_id(OURS.key.public_key()).encode(),
            ),
            "not over what it says",
        ),
        (lambda good: Message(b"tile", b"", ()), "no signature"),
        (lambda good: replace(good, value=b""), "not over what it says"),
        (lambda good: OURS.sign(replace(message("other", "pass"), key=b"tile"), 10**16), "under"),
    ],
)
def test_a_forged_message_changes_nothing_and_is_a_fault(forge: object, says: str) -> None:
    topic = Topic()
    good = topic.apply("scrap")
    topic.put(forge(good))  # type: ignore[operator]
    assert topic.action == "scrap"
    assert says in topic.state.refused["tile"]
    topic.apply("rework")
    assert (topic.action, topic.state.refused) == ("rework", {})


def test_an_older_signed_policy_is_not_brought_back() -> None:
    topic = Topic()
    old = topic.apply("pass")
    topic.apply("scrap")
    topic.put(old)
    assert topic.action == "scrap"
    assert "repeated" in topic.state.refused["tile"]


def test_a_withdrawn_policy_stays_withdrawn() -> None:
    topic = Topic()
    old = topic.apply("pass")
    topic.put(OURS.sign(Message(b"tile", b"", ()), topic.serial))
    assert (topic.action, topic.state.refused) == ("held", {})
    topic.put(old)
    assert topic.action == "held"
    again = Topic()
    again.state.restore(topic.state.signed)
    again.put(old)
    assert again.action == "held"


def test_the_past_of_a_topic_is_no_fault_when_it_is_read_again() -> None:
    topic = Topic()
    sent = [topic.apply("pass"), topic.apply("scrap")]
    for each in sent:
        topic.put(each, is_new=False)
    topic.state.caught_up()
    assert (topic.action, topic.state.refused) == ("scrap", {})


def test_a_topic_that_ends_with_an_older_policy_is_a_fault() -> None:
    """Compaction keeps the last message of a product: here a repeated one."""
    topic = Topic()
    sent = [topic.apply("pass"), topic.apply("scrap")]
    again = Topic()
    again.state.restore(topic.state.signed)
    again.put(sent[0], is_new=False)
    again.state.caught_up()
    assert again.action == "scrap"
    assert "older" in again.state.refused["tile"]


def test_without_trusted_keys_every_policy_is_believed() -> None:
    topic = Topic(None)
    topic.put(message("tile", "pass"))
    assert topic.action == "pass"
    topic.put(Message(b"tile", b"", ()))
    assert (topic.action, topic.state.refused) == ("held", {})


def test_a_clock_that_went_back_signs_above_the_last_serial() -> None:
    serial = int(dict(OURS.sign(message("tile", "scrap"), 10**17).headers)[SERIAL])
    assert serial == 10**17 + 1


@given(st.binary(max_size=64), st.dictionaries(st.text(max_size=20), st.binary(max_size=80)))
def test_no_header_ends_a_follower(value: bytes, headers: dict[str, bytes]) -> None:
    with pytest.raises(UnsignedPolicyError):
        TRUSTED.serial_of(b"tile", value, headers)


def test_a_copy_on_disk_is_no_way_around(tmp_path: Path) -> None:
    topic, cache = Topic(), DiskCache(tmp_path)
    topic.apply("scrap")
    assert cache.write_signed(topic.state.signed)
    kept = cache.read_signed()
    fresh = Topic()
    fresh.state.restore(kept)
    assert fresh.action == "scrap"
    path = tmp_path / "signed.json"
    path.write_text(path.read_text().replace("scrap", "pass"))
    fresh = Topic()
    fresh.state.restore(cache.read_signed())
    assert fresh.action == "held"
    for damaged in ("", "[" * 10_000, json.dumps({"tile": {"value": 1}})):
        path.write_text(damaged)
        assert cache.read_signed() == {}


def test_keys_are_files_that_others_cannot_read(tmp_path: Path) -> None:
    name = make_key(tmp_path / "keys" / "ada.key")
    assert (tmp_path / "keys" / "ada.key").stat().st_mode & 0o777 == 0o600
    assert list(TrustedKeys.load(tmp_path / "keys").keys) == [name]
    assert key_id(Signer.load(tmp_path / "keys" / "ada.key").key.public_key()) == name
    with pytest.raises(PolicyError, match="no key was made"):
        make_key(tmp_path / "keys" / "ada.key")
    with pytest.raises(PolicyError, match=r"no \*\.pub"):
        TrustedKeys.load(tmp_path)
    (tmp_path / "bad.pub").write_text("no key")
    with pytest.raises(PolicyError, match=r"bad\.pub"):
        TrustedKeys.load(tmp_path)


@pytest.mark.asyncio
async def test_over_the_broker_and_without_it(tmp_path: Path) -> None:
    """A forged policy on the topic, a start without the broker: what was signed stands."""
    broker: Broker = start_broker()
    connection = KafkaConnection(broker.bootstrap_servers, fetch_max_wait_ms=20)
    publisher = KafkaPublisher(connection)
    await publish(policy("tile", "scrap"), publisher, "ada", "first", OURS)
    source = KafkaPolicySource(connection, tmp_path, trusted=TRUSTED)
    said: list[bool] = []
    source.tell(said.append)
    await source.start()
    try:
        assert action_of(source, "tile") is Action.SCRAP
        await publish(policy("tile", "pass"), publisher, "eve", "forged")
        await until(lambda: said == [True])
        assert action_of(source, "tile") is Action.SCRAP
        assert "no signature" in source.refused()["tile"]
        after = source.serials()["tile"]
        await publish(policy("tile", "rework"), publisher, "ada", "again", OURS, after)
        await until(lambda: action_of(source, "tile") is Action.REWORK)
        await until(lambda: said == [True, False])
        await withdraw("gone", publisher, OURS)
    finally:
        await source.stop()
        await publisher.stop()
        broker.kill()
    offline = KafkaPolicySource(connection, tmp_path, start_timeout_s=0.3, trusted=TRUSTED)
    await offline.start()
    try:
        assert action_of(offline, "tile") is Action.REWORK
    finally:
        await offline.stop()
    strangers = TrustedKeys({key_id(THEIRS.key.public_key()): THEIRS.key.public_key()})
    revoked = KafkaPolicySource(connection, tmp_path, start_timeout_s=0.3, trusted=strangers)
    await revoked.start()
    try:
        assert action_of(revoked, "tile") is Action.HOLD
    finally:
        await revoked.stop()


def test_the_commands_for_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner()
    made = run.invoke(app, ["key", "new", str(tmp_path / "ada.key"), "--json"])
    assert made.exit_code == 0, made.output
    name = json.loads(made.output)["key"]
    load_settings.cache_clear()
    assert run.invoke(app, ["key", "show"]).exit_code == 1  # nothing is trusted: all is believed
    monkeypatch.setenv("ANDON_SIGNING__TRUSTED_KEYS", str(tmp_path))
    monkeypatch.setenv("ANDON_SIGNING__KEY_FILE", str(tmp_path / "ada.key"))
    load_settings.cache_clear()
    shown = run.invoke(app, ["key", "show", "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.output)["trusted"] == [name]
    monkeypatch.delenv("ANDON_SIGNING__KEY_FILE")
    load_settings.cache_clear()
    with pytest.raises(PolicyError, match="ANDON_SIGNING__KEY_FILE"):
        signed_policies.policy_signer(load_settings())
    load_settings.cache_clear()


def test_a_key_that_nobody_trusts_signs_nothing(tmp_path: Path) -> None:
    """Its policy was published and called in force, and every process refused it."""
    make_key(tmp_path / "trusted" / "ada.key")
    make_key(tmp_path / "new.key")

    def signer(key: Path) -> Signer | None:
        own = {"trusted_keys": tmp_path / "trusted", "key_file": key}
        return signed_policies.policy_signer(Settings.model_validate({"signing": own}))

    with pytest.raises(PolicyError, match="not among the trusted ones"):
        signer(tmp_path / "new.key")
    assert signer(tmp_path / "trusted" / "ada.key") is not None
    (tmp_path / "new.pub").rename(tmp_path / "trusted" / "new.pub")
    assert signer(tmp_path / "new.key") is not None


def test_a_new_key_writes_over_no_other_one(tmp_path: Path) -> None:
    """`plant.2026` wrote over `plant.pub`, which was that of `plant.2025`."""
    for year in ("2025", "2026"):
        make_key(tmp_path / f"plant.{year}")
    assert len(TrustedKeys.load(tmp_path).keys) == 2
    make_key(tmp_path / "ada.key")
    for name in ("ada.pem", "both.pub"):
        with pytest.raises(PolicyError, match="would be written over"):
            make_key(tmp_path / name)
        assert not (tmp_path / name).exists()
