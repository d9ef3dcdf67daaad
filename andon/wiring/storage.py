"""PostgreSQL, the object store, and where experts and exemplars are kept."""

from pathlib import Path
from typing import TYPE_CHECKING

from andon.settings import Settings, load_settings

if TYPE_CHECKING:
    from history.model_log import ModelLog
    from history.object_store import S3ImageStore, S3Objects
    from history.policy_log import PolicyLog
    from history.queries import History
    from history.writer import PostgresHistoryWriter
    from serving.bundle_store import BundleStore


def history(settings: Settings, least_timeout_s: float = 0.0) -> "History":
    """Questions about the history.

    Args:
        least_timeout_s: seconds that a question may take even if the settings allow less.
    """
    from history.queries import History

    own = settings.postgres
    timeout_s = max(least_timeout_s, own.timeout_s)
    return History(own.url.get_secret_value(), own.pool_size, timeout_s)


def history_writer(settings: Settings) -> "PostgresHistoryWriter":
    """The record role's way into the history."""
    from history.writer import PostgresHistoryWriter

    own = settings.postgres
    return PostgresHistoryWriter(own.url.get_secret_value(), own.pool_size, own.timeout_s)


def policy_log(settings: Settings) -> "PolicyLog":
    """The versions of the policies and the audit of their changes."""
    from history.policy_log import PolicyLog

    own = settings.postgres
    return PolicyLog(own.url.get_secret_value(), timeout_s=own.timeout_s)


def model_log(settings: Settings) -> "ModelLog":
    """The audit of the experts in force."""
    from history.model_log import ModelLog

    own = settings.postgres
    return ModelLog(own.url.get_secret_value(), timeout_s=own.timeout_s)


def s3_objects(settings: Settings, bucket: str = "", prefix: str = "") -> "S3Objects":
    """The object store of the settings; ``bucket`` names another one than theirs."""
    from history.object_store import S3Objects

    s3 = settings.s3
    return S3Objects(
        s3.endpoint,
        s3.access_key.get_secret_value(),
        s3.secret_key.get_secret_value(),
        bucket=bucket or s3.bucket,
        prefix=prefix,
        **s3.model_dump(include={"secure", "region", "timeout_s"}),
    )


def image_store(settings: Settings) -> "S3ImageStore":
    """Where the pictures of the line are kept."""
    from history.object_store import S3ImageStore

    return S3ImageStore(s3_objects(settings))


def bundle_store(location: str) -> "BundleStore":
    """The bundles at ``location``, a folder or ``s3://bucket/prefix``, with this host's settings.

    Ray calls it inside a replica: what travels there is the location and no credential.
    """
    from serving.bundle_store import BundleStore, open_folder, split_s3

    if not location.startswith("s3://"):
        return open_folder(Path(location))
    settings = load_settings()
    objects = s3_objects(settings, *split_s3(location))
    return BundleStore(objects, settings.paths.state / "cache" / "bundles")
