"""Applies the policies of ``history.object_rights`` to a MinIO: one policy and one user a role."""

import json
from collections.abc import Mapping

import urllib3
from minio.credentials import StaticProvider
from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin

from history.object_rights import BUCKET, RIGHTS, policy_text
from streams.errors import AndonError, UnavailableError
from streams.principals import PREFIX


class ObjectRightsError(AndonError):
    """The store did not take a policy or a user."""


def user_of(role: str) -> str:
    """The access key of a role.

    >>> user_of("gateway")
    'andon-gateway'
    """
    return f"{PREFIX}-{role}"


def apply_users(
    endpoint: str,
    access_key: str,
    secret_key: str,
    secrets: Mapping[str, str],
    *,
    bucket: str = BUCKET,
    secure: bool = False,
    timeout_s: float = 10.0,
) -> None:
    """Make each role's policy and its user; may be applied again, and renews the secrets.

    Args:
        endpoint: host:port of a MinIO.
        access_key: of its administrator.
        secret_key: the administrator's secret.
        secrets: the secret of each user.
        bucket: the policies are for.
        secure: whether to use TLS.
        timeout_s: seconds for one request.

    Raises:
        ObjectRightsError: it is no MinIO, or refuses.
        UnavailableError: it does not answer.
    """
    http = urllib3.PoolManager(timeout=timeout_s, retries=False)
    admin = MinioAdmin(
        endpoint=endpoint,
        credentials=StaticProvider(access_key, secret_key),
        secure=secure,
        http_client=http,
    )
    try:
        for role in RIGHTS:
            user = user_of(role)
            admin.policy_add(user, policy=json.loads(policy_text(role, bucket)))
            admin.user_add(user, secrets[user])
            admin.policy_set(user, user=user)
    except MinioAdminException as error:
        said = str(error).splitlines()[0][:300]
        raise ObjectRightsError(
            f"the object store {endpoint} took no policy ({said}): users and policies are "
            "MinIO's, and its administrator's to make"
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UnavailableError(f"the object store {endpoint} did not answer: {error}") from error
    finally:
        http.clear()
