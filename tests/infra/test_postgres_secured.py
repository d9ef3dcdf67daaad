"""The embedded PostgreSQL with logins: nobody without a password, and each role its own rights."""

from pathlib import Path

import pytest

from andon.stack.security import database_security, database_url
from history.migrate import current, head, upgrade
from infra.stack.postgres_local import start_postgres
from infra.stack.postgres_secured import verifier
from streams.errors import UnavailableError
from streams.principals import Role


@pytest.mark.asyncio
async def test_each_role_logs_in_by_its_own_password_and_nobody_without(scratch: Path) -> None:
    folder = scratch / "security"
    security = database_security(folder)
    with start_postgres(scratch / "pg", security=security) as server:
        for stranger in (server.url, database_url(folder, Role.GATEWAY, server.url)):
            with pytest.raises(UnavailableError, match="password authentication failed"):
                await upgrade(stranger)
        record = database_url(folder, Role.RECORD, server.url)
        with pytest.raises(UnavailableError, match="permission denied"):
            await upgrade(record)
        await upgrade(database_url(folder, Role.ADMIN, server.url))
        server.kill()
    with start_postgres(scratch / "pg", server.port, security=security):
        assert not security.pending(scratch / "pg")
        assert await current(record) == head()
    log = (scratch / "pg.log").read_text()
    assert not [path for path in folder.glob("*.password") if path.read_text() in log]


def test_a_verifier_is_not_the_password_and_never_the_same() -> None:
    made = {verifier("secret"), verifier("secret")}
    assert len(made) == 2
    assert not [text for text in made if "secret" in text]


def test_another_password_is_set_before_the_server_starts(scratch: Path) -> None:
    security = database_security(scratch / "security")
    data = scratch / "pg"
    data.mkdir()
    security.done(data)
    assert not security.pending(data)
    (scratch / "security" / "andon-record.postgres.password").write_text("another")
    assert 'ALTER ROLE "andon-record" LOGIN PASSWORD' in security.pending(data)
    assert "another" not in security.pending(data)
