"""``andon doctor`` finds what is there, and names a remedy for what is not."""

import asyncio
import json
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from typer.testing import CliRunner

from andon.checks import examine
from andon.cli.doctor import app
from andon.settings import Settings
from andon.wiring import signed_policies, storage
from history.object_rights import RIGHTS
from history.object_store import S3Objects
from history.object_users import apply_users, user_of
from infra.stack.process import free_port
from infra.stack.s3_local import LocalS3
from streams.failures import Cause, PermanentError


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    """Settings that point at ports where nothing listens."""
    port = free_port()
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": f"127.0.0.1:{port}"},
            "postgres": {"url": f"postgresql+asyncpg://postgres@127.0.0.1:{port}/andon"},
            "s3": {"endpoint": f"127.0.0.1:{port}", "timeout_s": 2.0},
            "serve": {"address": f"127.0.0.1:{port}", "ingress": f"127.0.0.1:{port}"},
            "gateway": {"plc_url": f"opc.tcp://127.0.0.1:{port}", "camera": "synthetic:seed=1"},
            "paths": {"state": tmp_path / "state", "policies": tmp_path},
        }
    )


def test_what_does_not_answer_fails_with_a_remedy(nowhere: Settings) -> None:
    names = ["kafka", "postgres", "s3", "ray", "serve", "plc", "policies"]
    found = asyncio.run(examine(nowhere, names))
    assert [finding.name for finding in found] == names
    for finding in found:
        assert not finding.ok
        assert finding.remedy
        assert finding.detail


def test_what_is_there_is_found(nowhere: Settings) -> None:
    state, camera = asyncio.run(examine(nowhere, ["state", "camera"]))
    assert (state.ok, camera.ok) == (True, True)
    assert "MiB free" in state.detail
    assert camera.detail == "synthetic:seed=1"


def test_the_command_names_the_checks_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["kafak"])
    assert done.exit_code == 2
    monkeypatch.setenv("ANDON_GATEWAY__CAMERA", "synthetic:seed=1")
    done = CliRunner().invoke(app, ["camera", "--json"])
    assert done.exit_code == 0
    assert [finding["name"] for finding in json.loads(done.stdout)] == ["camera"]


class Store:
    """An object store whose key has the rights of one role."""

    def __init__(self, role: str) -> None:
        self.puts, self.gets = RIGHTS.get(role, ((), ()))
        self.put_there: list[str] = []

    def __str__(self) -> str:
        return "s3:9000, bucket andon"

    def has_bucket(self) -> bool:
        raise PermanentError(Cause.NOT_ALLOWED, "may not")

    def put(self, key: str, body: bytes) -> None:
        if not key.startswith(self.puts):
            raise PermanentError(Cause.NOT_ALLOWED, "may not")
        self.put_there.append(key)

    def keys(self, prefix: str) -> dict[str, float]:
        if not prefix.startswith(self.gets):
            raise PermanentError(Cause.NOT_ALLOWED, "may not")
        return {}


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_is_told_what_its_key_may_in_the_object_store_and_what_it_cannot_see(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    store = Store(role)
    monkeypatch.setattr(storage, "s3_objects", lambda _: store)
    (found,) = asyncio.run(examine(nowhere, ["s3"]))
    assert found.ok, found.detail
    puts, gets = RIGHTS[role]
    for prefix in gets:
        assert prefix in found.detail.partition("may read below")[2].partition(";")[0]
    for prefix in {"frames/", "inspections/", "dead/"} - {*puts, *gets}:
        assert prefix in found.detail.partition("cannot see")[2]
    assert not [key for key in store.put_there if key.startswith(("artifacts/", "exemplars/"))]


def test_a_key_without_rights_in_the_object_store_fails_with_a_remedy(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "s3_objects", lambda _: Store("nobody"))
    (found,) = asyncio.run(examine(nowhere, ["s3"]))
    assert not found.ok
    assert "may neither put nor read" in found.detail
    assert "andon history grant --objects" in found.remedy


@pytest.mark.slow
@pytest.mark.parametrize("role", RIGHTS)
def test_a_minio_with_the_shipped_policies_answers_the_doctor_of_each_role(
    minio: LocalS3, role: str, nowhere: Settings
) -> None:
    secrets = {user_of(one): f"secret of {one}" for one in RIGHTS}
    S3Objects(minio.endpoint, minio.access_key, minio.secret_key, bucket="asked").ensure_bucket()
    apply_users(minio.endpoint, minio.access_key, minio.secret_key, secrets, bucket="asked")
    own = {"endpoint": minio.endpoint, "access_key": user_of(role), "bucket": "asked"}
    s3 = nowhere.s3.model_validate(own | {"secret_key": secrets[user_of(role)], "timeout_s": 5.0})
    (found,) = asyncio.run(examine(nowhere.model_copy(update={"s3": s3}), ["s3"]))
    assert found.ok, found.detail
    assert "cannot see" in found.detail


def test_a_refused_policy_is_told_with_what_stands_behind_it(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where signing was just switched on nothing stands, and nobody is to be looked for."""
    why = "it has no signature"
    found = signed_policies.InForce({"cloth": "ab" * 32}, {"cloth": why, "tile": why}, {})
    monkeypatch.setattr(signed_policies, "policies_in_force", AsyncMock(return_value=found))
    (said,) = asyncio.run(examine(nowhere, ["policies"]))
    assert not said.ok
    assert "cloth: its last policy was refused, the policy before it stands" in said.detail
    assert "tile: its last policy was refused, a process that starts now has none" in said.detail
    assert "andon policy key show" in said.remedy
