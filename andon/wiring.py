"""The composition root: builds each adapter from the settings, once and typed by its port."""

from typing import TYPE_CHECKING

from andon.settings import Settings

if TYPE_CHECKING:
    from history.object_store import S3ImageStore, S3Objects


def s3_objects(settings: Settings, bucket: str = "", prefix: str = "") -> "S3Objects":
    """The object store of the settings; ``bucket`` names another one than theirs."""
    from history.object_store import S3Objects

    s3 = settings.s3
    return S3Objects(
        s3.endpoint,
        s3.access_key.get_secret_value(),
        s3.secret_key.get_secret_value(),
        secure=s3.secure,
        region=s3.region,
        bucket=bucket or s3.bucket,
        prefix=prefix,
        timeout_s=s3.timeout_s,
    )


def image_store(settings: Settings) -> "S3ImageStore":
    """Where the pictures of the line are kept."""
    from history.object_store import S3ImageStore

    return S3ImageStore(s3_objects(settings))
