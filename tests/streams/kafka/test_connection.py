"""One way to connect: no module but this one builds a client of Kafka."""

import ast
import tomllib
from pathlib import Path

from streams.kafka.connection import KafkaConnection

REPOSITORY = Path(__file__).resolve().parents[3]
CLIENTS = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "KafkaConsumer"}


def builds_client(path: Path) -> bool:
    """Whether a module calls a client's constructor."""
    calls = (n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
    return any(
        (f.id if isinstance(f, ast.Name) else getattr(f, "attr", "")) in CLIENTS for f in calls
    )


def test_no_other_module_builds_a_client() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = settings["tool"]["importlinter"]["root_packages"]
    found = [p for name in packages for p in (REPOSITORY / name).rglob("*.py") if builds_client(p)]
    assert found == [REPOSITORY / "streams" / "kafka" / "connection.py"]


def test_faust_is_told_the_same() -> None:
    settings = KafkaConnection("a:1, b:2", request_timeout_s=3.0).faust_settings()
    assert settings["broker"] == "kafka://a:1;kafka://b:2"
    assert settings["producer_request_timeout"] == 3.0 + 9 * 1024 / 64
