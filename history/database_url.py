"""Reads the database's address in the forms that PostgreSQL's tools and clouds hand out."""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from streams.tls import FileContext

EXAMPLE: Final = "postgresql+asyncpg://user@host:5432/andon"
DRIVER: Final = "postgresql+asyncpg"
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
_SCHEMES: Final = ("postgresql", "postgres", "pgsql", "pg", "jdbc:postgresql")
_DROPPED: Final = frozenset(
    {"application_name", "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"}
    | {"keepalives_count", "gssencmode", "fallback_application_name", "sslnegotiation"}
    | {"pgbouncer", "connection_limit", "pool_timeout", "client_encoding"}
)
"""Parameters of other clients that Andon decides itself, or that change nothing here."""
_FILES: Final = ("sslrootcert", "sslcert", "sslkey")
_KEPT: Final = frozenset({"host", "target_session_attrs"})
_OF_TLS: Final = frozenset({"sslmode", "ssl", *_FILES})


@dataclass(frozen=True)
class DatabaseUrl:
    """The address without its TLS parameters, and these."""

    url: str
    """With the asyncpg driver, as SQLAlchemy takes it."""
    sslmode: SslMode | None = None
    root_certificate: str = ""
    certificate: str = ""
    key: str = ""

    def ssl_argument(self) -> ssl.SSLContext | str | None:
        """What asyncpg takes as ``ssl``; None leaves it to its default.

        Raises:
            OSError: a certificate's file cannot be read, or holds none.
            ValueError: the key is encrypted.
        """
        root_file = "" if self.root_certificate == "system" else self.root_certificate
        is_checked = bool(root_file) or self.sslmode in ("verify-ca", "verify-full")
        if not is_checked and not self.certificate:
            return self.sslmode
        root, cert, key = (
            Path(file) if file else None for file in (root_file, self.certificate, self.key)
        )
        context = FileContext(root, cert, key)
        context.check_hostname = self.sslmode == "verify-full"
        if not is_checked:
            context.verify_mode = ssl.CERT_NONE
        return context


def read_database_url(text: str) -> DatabaseUrl:
    """Understand ``postgres://``, ``postgresql://``, other drivers and libpq's ``sslmode``.

    Raises:
        ValueError: it cannot be used; the message says what to write and never shows a password.
    """
    given = text.strip(" \t\r\n\"'`")
    if re.search(r"\b(host|dbname|user)\s*=", given) and "://" not in given:
        raise ValueError(f"is a list of name=value; write it like {EXAMPLE}")
    scheme, separator, rest = given.partition("://")
    family, _, _ = scheme.lower().partition("+")
    if not separator or family not in _SCHEMES:
        kind = f"{family}:// is another database" if separator and family else "is no address"
        raise ValueError(f"{kind}; write it like {EXAMPLE}")
    user_info, at, _ = rest.split("?")[0].rpartition("@")
    if at and re.search(r"[#/]", user_info):
        raise ValueError("its password holds / or #: write %2F for /, %23 for #, %40 for @")
    if "#" in rest:
        raise ValueError("its password or query holds #: write %23")
    if "," in rest.split("?")[0].rpartition("@")[2].split("/")[0]:
        raise ValueError("several hosts are written as ?host=a:5432&host=b:5432")
    try:
        parts = urlsplit(f"{DRIVER}://{rest}")
        _ = parts.port, parts.hostname
    except ValueError:
        raise ValueError(
            "its port is no number (a / or @ in the password is written %2F or %40); "
            f"write it like {EXAMPLE}"
        ) from None
    if not parts.path.strip("/"):
        raise ValueError(f"names no database; write it like {EXAMPLE}")
    return _with_query(parts.netloc, parts.path, parse_qsl(parts.query, keep_blank_values=True))


def _with_query(netloc: str, path: str, query: list[tuple[str, str]]) -> DatabaseUrl:
    options = dict(query)
    for name in options:
        if name not in _DROPPED | _KEPT | _OF_TLS | {"channel_binding"}:
            known = ", ".join(sorted(_KEPT | _OF_TLS))
            raise ValueError(f"its parameter {name!r} is not taken here; take it out ({known} are)")
    if options.get("channel_binding") == "require":
        raise ValueError("channel_binding=require is not offered by the driver; take it out")
    mode = options.get("sslmode", options.get("ssl"))
    mode = {"true": "require", "1": "require", "false": "disable", "0": "disable"}.get(
        str(mode).lower(), mode
    )
    if mode is not None and mode not in get_args(SslMode):
        raise ValueError(f"sslmode is one of {', '.join(get_args(SslMode))}")
    kept = urlencode([(n, v) for n, v in query if n in _KEPT], quote_via=quote)
    user_info, at, hosts = netloc.rpartition("@")
    user, colon, password = user_info.partition(":")
    safe = f"{user}{colon}{password.replace('@', '%40')}{at}{hosts}"
    url = f"{DRIVER}://{safe}{path}" + (f"?{kept}" if kept else "")
    files = (options.get(name, "") for name in _FILES)
    return DatabaseUrl(url, mode, *files)  # type: ignore[arg-type]
