"""No socket of a secured store or controller serves a stranger, and each way of asking can tell.

The whole line, with Kafka, Ray and Serve, is in ``test_secured_run.py``.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from andon.stack.local import LocalStack, StackPorts
from andon.stack.plc_security import controller_pki, make_plc_security
from andon.stack.security import database_security, object_keys
from connectors.opcua.server_security import read_security
from infra.stack.broker import Broker
from infra.stack.postgres_local import LocalPostgres, start_postgres
from infra.stack.process import free_port
from infra.stack.s3_local import start_s3
from lab.plc.opcua_server import SignalServer
from streams.principals import Role
from tests.integration.leaks import leaks, secrets_of
from tests.integration.sockets import METHODS, served


@pytest.mark.asyncio
async def test_a_secured_controller_serves_no_stranger_and_an_open_one_is_seen(
    tmp_path: Path,
) -> None:
    make_plc_security(tmp_path)
    pki = read_security(controller_pki(tmp_path))
    for security, expected in (
        (pki, {}),
        (None, {"opc ua": "opens a session that is not secured"}),
    ):
        port = free_port()
        url = f"opc.tcp://127.0.0.1:{port}"
        server = SignalServer(url, lambda _: None, security=security)
        await server.open()
        await server.listen()
        try:
            asked = served, port, tmp_path / "ran", "127.0.0.1", 1.0
            assert await asyncio.to_thread(*asked) == expected
        finally:
            await server.close()


def test_an_open_broker_database_and_store_are_seen(
    broker: Broker, postgres: LocalPostgres, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    assert "kafka" in served(broker.port, ran, patience_s=1.0)
    assert "postgres" in served(postgres.port, ran, patience_s=1.0)


@pytest.fixture
def asks_nobody() -> Iterator[int]:
    """A server of gRPC that runs a replica's method for whoever calls."""
    _, service, method = METHODS[0].split("/")
    answers = grpc.unary_unary_rpc_method_handler(lambda body, context: body)
    server = grpc.server(ThreadPoolExecutor(1))
    handlers = grpc.method_handlers_generic_handler(service, {method: answers})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def test_a_server_of_grpc_without_a_token_is_seen(asks_nobody: int, tmp_path: Path) -> None:
    assert served(asks_nobody, tmp_path / "ran") == {"grpc": f"{METHODS[0]}: served"}


def test_the_secured_stores_serve_no_stranger_and_write_no_secret(scratch: Path) -> None:
    stack = LocalStack(scratch / "stack", StackPorts.free(), secure=True)
    folder, ran = stack.security_folder, scratch / "ran"
    for role in Role:
        stack.environment(role)
    token = stack.settings().serve.token_file
    token.touch(mode=0o600)
    token.write_text("a token of thirty-two characters")
    keys = object_keys(folder)
    secret = keys.pop("andon-admin")
    logs, security = scratch / "logs", database_security(folder)
    with (
        start_postgres(scratch / "pg", log_path=logs / "pg.log", security=security) as database,
        start_s3(scratch / "s3", None, "andon-admin", secret, logs / "s3", others=keys) as store,
    ):
        assert served(database.port, ran, patience_s=1.0) == {}
        assert served(store.port, ran, patience_s=1.0) == {}
    secrets = secrets_of(stack)
    assert len(secrets) > 2 * len(Role)
    assert leaks(scratch, secrets) == []


def test_a_secret_in_a_log_is_found(tmp_path: Path) -> None:
    secrets = {"andon-record.password": "0123456789abcdef", "ray_token": "f" * 64}
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "record.log").write_text("logged in by 0123456789abcdef\n")
    (tmp_path / "security").mkdir(mode=0o700)
    kept = tmp_path / "security" / "andon-record.password"
    kept.touch(mode=0o600)
    kept.write_text("0123456789abcdef")
    assert leaks(tmp_path, secrets) == ["logs/record.log: andon-record.password"]
    kept.chmod(0o644)
    assert leaks(tmp_path, secrets), "nobody else may pass the folder"
    kept.parent.chmod(0o755)
    with pytest.raises(AssertionError, match="for its owner alone"):
        leaks(tmp_path, secrets)
