"""What a test needs of this machine; skipped with the reason where it is not to be had."""

import pytest

from infra.kafka_local import fetch_kafka, kafka_available
from infra.process import ProcessError


def need_kafka() -> None:
    """Apache Kafka's jars and a Java to run them."""
    reason = kafka_available()
    if reason:
        pytest.skip(f"no Apache Kafka: {reason}")
    try:
        fetch_kafka()
    except ProcessError as error:
        pytest.skip(f"no Apache Kafka: {error}")
