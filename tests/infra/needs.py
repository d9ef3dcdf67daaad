"""What a test needs of this machine; the test skips and says so where it is missing."""

import os

import pytest

from infra.stack.kafka_local import fetch_kafka, kafka_available
from infra.stack.minio_local import build_minio, minio_available, minio_is_built
from infra.stack.process import ProcessError


def need_kafka() -> None:
    """Apache Kafka's jars and a Java to run them."""
    reason = kafka_available()
    if reason:
        pytest.skip(f"no Apache Kafka: {reason}")
    try:
        fetch_kafka()
    except ProcessError as error:
        pytest.skip(f"no Apache Kafka: {error}")


def need_minio() -> None:
    """MinIO, built before; ``ANDON_TEST_MINIO=1`` builds it now, which takes minutes."""
    reason = minio_available()
    if reason:
        pytest.skip(f"no MinIO: {reason}")
    if not minio_is_built() and os.environ.get("ANDON_TEST_MINIO") != "1":
        pytest.skip(
            "no MinIO: `python -m infra.stack.minio_local` builds it, or set ANDON_TEST_MINIO=1"
        )
    try:
        build_minio()
    except ProcessError as error:
        pytest.skip(f"no MinIO: {error}")
