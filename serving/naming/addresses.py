"""Understands the address of an endpoint as people paste it, or refuses it with the right one."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

_CALLS: Final = re.compile(
    r"/(?:chat/completions|completions|chat|responses|embeddings|models)(?:/)?$", re.I
)
"""Ends of a path that the client adds itself."""
_SECRET: Final = re.compile(r"key|token|secret|password|^code$|^sig", re.I)
_AZURE: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_RIGHT_PATHS: Final = {
    "api.openai.com": "/v1",
    "api.mistral.ai": "/v1",
    "api.x.ai": "/v1",
    "api.anthropic.com": "/v1",
    "api.together.xyz": "/v1",
    "api.groq.com": "/openai/v1",
    "openrouter.ai": "/api/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
    "router.huggingface.co": "/v1",
    "dashscope.aliyuncs.com": "/compatible-mode/v1",
}
"""Where the OpenAI-compatible interface of a service stands; addresses above it are refused."""
_PAGES: Final = frozenset({"chatgpt.com", "chat.openai.com", "platform.openai.com", "openai.com"})
_FOREIGN: Final = (
    (re.compile(r"/api/(?:generate|chat|tags|show)$", re.I), "/v1", "Ollama's own interface"),
    (re.compile(r"/v1/messages$", re.I), "/v1", "Anthropic's own interface"),
    (
        re.compile(r"(?:/v1(?:beta)?)?/models/[^/]+:\w+$", re.I),
        "/v1beta/openai",
        "Gemini's own interface",
    ),
    (re.compile(r"/(?:docs|redoc|openapi\.json|index\.html|ui|health)$", re.I), "/v1", "a page"),
)
"""Ends of paths that are another interface: the path that stands there instead, and what it is."""


class AddressError(ValueError):
    """An address that cannot be meant; the message holds the right form."""


@dataclass(frozen=True)
class Address:
    """Where calls go: the path ``/chat/completions`` and the query are added to ``base``."""

    base: str
    query: tuple[tuple[str, str], ...] = ()
    is_mended: bool = False
    """Whether the address differs from what was given."""

    @property
    def url(self) -> str:
        """What is called, for messages."""
        return f"{self.base}/chat/completions" + (f"?{urlencode(self.query)}" if self.query else "")

    @property
    def host(self) -> str:
        """The host's name, in lower case."""
        return urlsplit(self.base).hostname or ""

    @property
    def is_public_service(self) -> bool:
        """Whether it is one of the services that everybody calls by this name."""
        return self.host in _RIGHT_PATHS

    @property
    def is_azure_deployment(self) -> bool:
        """Azure's older addresses, which take the key in a header ``api-key``."""
        return "/openai/deployments/" in self.base


def read_address(text: str) -> Address:
    """Mend what has one meaning; refuse the rest.

    A pasted ``/chat/completions``, doubled or trailing slashes, quotes and blanks around it are
    taken off; a query such as Azure's ``?api-version=`` is kept and sent with every call.

    Raises:
        AddressError: with the right form, where one can be told.

    >>> read_address("http://127.0.0.1:8000/v1/chat/completions?x=1").base
    'http://127.0.0.1:8000/v1'
    """
    given = text.strip().strip("'\"`<>").strip()
    parts = _split(given)
    if parts.username is not None or parts.password is not None:
        raise AddressError("a user or password stands in the address; name the key in api_key_env")
    query = tuple(parse_qsl(parts.query, keep_blank_values=True))
    for name, _ in query:
        if _SECRET.search(name):
            raise AddressError(
                f"a secret stands in the address as {name!r}; name it in api_key_env"
            )
    root = f"{parts.scheme.lower()}://{parts.netloc.lower()}"
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    _refuse_foreign(root, path)
    while (cut := _CALLS.sub("", path)) != path:
        path = cut
    path = re.sub(r"(/v1)(?:/v1)+$", r"\1", path, flags=re.I)
    _refuse_incomplete(root, parts.hostname or "", path, dict(query))
    base = root + path
    return Address(base, query, is_mended=given.rstrip("/").lower() != _joined(base, parts).lower())


def _split(text: str) -> SplitResult:
    """The parts of a well-formed absolute address."""
    if found := re.search(r"<[^>]*>|\$?\{[^}]*\}|\[(?:your|resource|host)[^\]]*\]|YOUR[-_]", text):
        raise AddressError(f"{found[0]!r} is a placeholder; write the real name in its place")
    if re.search(r"[\s\\\x00-\x1f'\"`<>]", text):
        right = re.sub(r"[\s'\"`<>]", "", text.replace("\\", "/"))
        raise AddressError(
            f"blanks, quotes and backslashes cannot stand in it; write {_schemed(right)!r}"
        )
    if not re.match(r"https?://[^/]", text, re.I):
        raise AddressError(f"expected http:// or https:// and a host; write {_schemed(text)!r}")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"{error}; write https://host:port/v1") from None
    if not host or ".." in host or host.startswith((".", "-")):
        raise AddressError(f"{host or ''!r} is no host name; write https://host/v1")
    if ":" not in host and not re.fullmatch(r"[\w.\-]+", host):
        raise AddressError(f"{host!r} is no host name; write https://host/v1")
    if parts.fragment or text.endswith("#"):
        raise AddressError(f"'#' leads to a place of a page; write {text.split('#')[0]!r}")
    return parts


def _schemed(text: str) -> str:
    """The same address with a scheme: plain HTTP for this machine, TLS for any other."""
    rest = re.sub(r"^[a-z][a-z0-9+.\-]*:/+|^[a-z]{3,6}//|^/+|^https?:(?!\d)", "", text, flags=re.I)
    rest = rest.lstrip("/") or "host/v1"
    near = re.match(r"localhost|127\.|\[?::1|0\.0\.0\.0|10\.|192\.168\.", rest)
    scheme = "http" if near or text.lower().startswith(("http:", "http/")) else "https"
    return f"{scheme}://{rest.split('@')[-1]}"


def _refuse_foreign(root: str, path: str) -> None:
    for pattern, right, what in _FOREIGN:
        if pattern.search(path):
            rest = pattern.sub("", path)
            raise AddressError(f"{path} is {what}; write '{root}{rest.removesuffix('/v1')}{right}'")


def _refuse_incomplete(root: str, host: str, path: str, query: dict[str, str]) -> None:
    """Addresses of known services that stand above or beside the interface that is spoken here."""
    if host in _PAGES:
        raise AddressError(f"{host} is a site for people; write 'https://api.openai.com/v1'")
    right = _RIGHT_PATHS.get(host)
    if (
        right
        and right not in path
        and (path == "" or right.startswith(path) or host.endswith("googleapis.com"))
    ):
        raise AddressError(f"its OpenAI-compatible interface stands at '{root}{right}'")
    if host.endswith(_AZURE) and path in ("", "/openai"):
        raise AddressError(f"Azure's interface stands at '{root}/openai/v1'")
    if "/openai/deployments/" in path and "api-version" not in query:
        raise AddressError(
            f"Azure's deployments need a version: '{root}{path}?api-version=2024-10-21'"
        )


def _joined(base: str, parts: SplitResult) -> str:
    return base + (f"?{parts.query}" if parts.query else "")
