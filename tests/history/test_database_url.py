"""The database's address in the forms of PostgreSQL's tools and clouds."""

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.database import make_engine
from history.database_url import read_database_url
from history.errors import HistoryError
from history.migrate import current
from infra.stack.postgres_local import LocalPostgres
from streams.errors import UnavailableError

PLAIN = "postgresql+asyncpg://andon:pw@db:5432/andon"


@pytest.mark.parametrize(
    ("given_", "url", "mode"),
    [
        (PLAIN, PLAIN, None),
        ("postgres://andon:pw@db:5432/andon", PLAIN, None),
        ("postgresql://andon:pw@db:5432/andon", PLAIN, None),
        ("postgresql+psycopg2://andon:pw@db:5432/andon", PLAIN, None),
        ("postgresql+psycopg://andon:pw@db:5432/andon", PLAIN, None),
        ("POSTGRES://andon:pw@db:5432/andon", PLAIN, None),
        ("jdbc:postgresql://db/andon", "postgresql+asyncpg://db/andon", None),
        (f" '{PLAIN}' ", PLAIN, None),
        (f"{PLAIN}?sslmode=require", PLAIN, "require"),
        (f"{PLAIN}?sslmode=disable", PLAIN, "disable"),
        (f"{PLAIN}?sslmode=prefer", PLAIN, "prefer"),
        (f"{PLAIN}?sslmode=verify-full", PLAIN, "verify-full"),
        (f"{PLAIN}?ssl=true", PLAIN, "require"),
        (f"{PLAIN}?ssl=require", PLAIN, "require"),
        (f"{PLAIN}?sslmode=require&channel_binding=prefer", PLAIN, "require"),
        (f"{PLAIN}?connect_timeout=5&application_name=x&pgbouncer=true", PLAIN, None),
        (
            f"{PLAIN}?target_session_attrs=any",
            f"{PLAIN}?target_session_attrs=any",
            None,
        ),
        (
            "postgresql:///andon?host=/var/run/postgresql",
            "postgresql+asyncpg:///andon?host=%2Fvar%2Frun%2Fpostgresql",
            None,
        ),
        (
            "postgresql://a@/andon?host=h1:5432&host=h2:5432",
            "postgresql+asyncpg://a@/andon?host=h1%3A5432&host=h2%3A5432",
            None,
        ),
        ("postgres://andon:p@ss@db/andon", "postgresql+asyncpg://andon:p%40ss@db/andon", None),
        ("postgres://andon:p%2Fw@db/andon", "postgresql+asyncpg://andon:p%2Fw@db/andon", None),
    ],
)
def test_forms_that_people_paste(given_: str, url: str, mode: str | None) -> None:
    read = read_database_url(given_)
    assert (read.url.replace("%2F", "/"), read.sslmode) == (url.replace("%2F", "/"), mode)
    assert make_engine(given_).url.database == "andon"


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ("mysql://andon:secret@db/andon", "mysql:// is another database"),
        ("sqlite:///andon.db", "sqlite:// is another database"),
        ("http://db:5432/andon", "another database"),
        ("db:5432/andon", "is no address"),
        ("", "is no address"),
        ("host=db dbname=andon password=secret", "list of name=value"),
        ("postgresql://andon:se/cret@db/andon", "write %2F for /"),
        ("postgresql://andon:se#cret@db/andon", "%23 for #"),
        ("postgresql://andon@db", "names no database"),
        ("postgresql://andon@db/", "names no database"),
        ("postgresql://andon@db:port/andon", "its port is no number"),
        ("postgresql://andon@h1:1,h2:2/andon", "host=a:5432&host=b:5432"),
        ("postgresql://andon@db/andon?sslmode=on", "sslmode is one of disable"),
        ("postgresql://andon@db/andon?channel_binding=require", "channel_binding=require"),
        ("postgresql://andon@db/andon?options=-csearch_path=x", "'options' is not taken"),
        ("postgresql://andon@db/andon?schema=x", "'schema' is not taken"),
    ],
)
def test_forms_that_cannot_be_meant(given_: str, words: str) -> None:
    with pytest.raises(HistoryError, match="ANDON_POSTGRES__URL") as refused:
        make_engine(given_)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_certificates(tmp_path: Path) -> None:
    assert read_database_url(PLAIN).ssl_argument() is None
    assert read_database_url(f"{PLAIN}?sslmode=require").ssl_argument() == "require"
    checked = read_database_url(f"{PLAIN}?sslmode=verify-full&sslrootcert=system").ssl_argument()
    assert isinstance(checked, ssl.SSLContext)
    assert checked.check_hostname
    chain = read_database_url(f"{PLAIN}?sslmode=verify-ca").ssl_argument()
    assert isinstance(chain, ssl.SSLContext)
    assert not chain.check_hostname
    assert chain.verify_mode is ssl.CERT_REQUIRED
    absent = f"{PLAIN}?sslmode=verify-full&sslrootcert={tmp_path / 'absent.pem'}"
    with pytest.raises(HistoryError, match="names a certificate"):
        make_engine(absent)


@given(st.from_regex(r"(postgres(ql)?(\+\w+)?://)?[a-z:/@\[\],.?#=&%\d]{0,40}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = read_database_url(text)
    except ValueError:
        return
    assert read.url.startswith("postgresql+asyncpg://")
    assert read_database_url(read.url).url == read.url


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_a_real_server_is_reached(postgres: LocalPostgres, mode: str) -> None:
    plain = postgres.database_url("postgres").replace("postgresql+asyncpg", "postgres")
    assert await current(f"{plain}?sslmode={mode}&connect_timeout=5") == ""


@pytest.mark.asyncio
async def test_a_server_without_tls_is_refused_where_tls_is_asked_for(
    postgres: LocalPostgres,
) -> None:
    url = f"{postgres.database_url('postgres')}?sslmode=require"
    with pytest.raises(UnavailableError, match="SSL"):
        await current(url)
