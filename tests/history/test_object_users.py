"""A MinIO with the shipped policies: each role does what it must, below its prefixes alone."""

import contextlib

import pytest

from history.object_rights import RIGHTS
from history.object_store import S3Objects
from history.object_users import ObjectRightsError, apply_users, user_of
from infra.stack.process import free_port
from infra.stack.s3_local import LocalS3
from streams.errors import UnavailableError
from streams.failures import PermanentError

BUCKET = "policies"
SECRETS = {user_of(role): f"secret of {role}" for role in RIGHTS}
PREFIXES = ("frames/", "inspections/", "dead/", "artifacts/", "exemplars/", "other/")


@pytest.fixture(scope="module")
def store(minio: LocalS3) -> LocalS3:
    admin = S3Objects(minio.endpoint, minio.access_key, minio.secret_key, bucket=BUCKET)
    for prefix in PREFIXES:
        admin.put(f"{prefix}there", b"1")
    for _ in range(2):
        apply_users(minio.endpoint, minio.access_key, minio.secret_key, SECRETS, bucket=BUCKET)
    return minio


def objects(store: LocalS3, role: str) -> S3Objects:
    user = user_of(role)
    return S3Objects(store.endpoint, user, SECRETS[user], bucket=BUCKET)


@pytest.mark.slow
@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_puts_and_reads_below_its_prefixes_alone(store: LocalS3, role: str) -> None:
    own, (puts, gets) = objects(store, role), RIGHTS[role]
    taken, shown, listed = set(), set(), set()
    for prefix in PREFIXES:
        with contextlib.suppress(PermanentError):
            own.put(f"{prefix}{role}", b"2")
            taken.add(prefix)
        with contextlib.suppress(PermanentError):
            assert own.get(f"{prefix}there") == b"1"
            assert own.get(f"{prefix}absent") is None, "an absent object is no refusal"
            shown.add(prefix)
        with contextlib.suppress(PermanentError):
            assert f"{prefix}there" in own.keys(prefix)
            listed.add(prefix)
    assert (taken, shown, listed) == (set(puts), set(gets), set(gets))


@pytest.mark.slow
def test_who_is_not_its_administrator_makes_nobody_a_user(store: LocalS3) -> None:
    user = user_of("record")
    with pytest.raises(ObjectRightsError, match="administrator's to make"):
        apply_users(store.endpoint, user, SECRETS[user], SECRETS, bucket=BUCKET)


def test_another_store_is_told_from_minio(s3: LocalS3) -> None:
    with pytest.raises(ObjectRightsError, match="MinIO's"):
        apply_users(s3.endpoint, s3.access_key, s3.secret_key, SECRETS)
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError, match="did not answer"):
        apply_users(nobody, "admin", "secret", SECRETS)
