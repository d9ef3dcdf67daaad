"""No secret passes the masking rule, in whatever form a plant's software prints one."""

import base64
import json
import shlex
import string
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from andon.log import mask_event
from streams.masking import MASK, masked

PIECES = st.text("QXZJVK019", min_size=5, max_size=8)
"""Pieces of secrets. None of the texts around a secret holds such a piece."""
UNRESERVED = "-._~"
IN_HEADERS = UNRESERVED + "+/="
SAFE_IN_URLS = UNRESERVED + "!$'()*+,;=:"
NO_BLANK = string.punctuation
"""Whatever a keyboard has, but blanks."""


def secrets(between: str, without: str = "") -> st.SearchStrategy[str]:
    """Secrets of one to five pieces, up to some hundred characters, with signs between them."""
    signs = st.text([c for c in between if c not in without], max_size=3)
    short = st.lists(st.tuples(PIECES, signs), min_size=1, max_size=5)
    long = st.tuples(PIECES, st.just("-")).map(lambda pair: [pair] * 60)
    return (short | long).map(lambda pairs: "".join(p + s for p, s in pairs[:-1]) + pairs[-1][0])


def leaks(secret: str, shown: str) -> list[str]:
    """Parts of the secret that can be read."""
    return [secret[i : i + 4] for i in range(len(secret) - 3) if is_piece(secret[i : i + 4], shown)]


def is_piece(part: str, shown: str) -> bool:
    return all(sign in "QXZJVK019" for sign in part) and part in shown


def never_shown(text: str, *hidden: str) -> None:
    shown = masked(text)
    assert MASK in shown
    for secret in hidden:
        assert not leaks(secret, shown), shown
    assert masked(shown) == shown


SCHEMES = st.sampled_from(
    ["rtsp", "rtsps", "http", "https", "opc.tcp", "amqp", "mqtts", "ftp", "postgresql+asyncpg"]
)
USERS = st.sampled_from(["operator", "op-1", "", "o.p", "op%40plant", "admin_2"])
HOSTS = st.sampled_from(["camera", "10.0.0.7", "10.0.0.7:554", "[fe80::1]:80", "plc.plant.example"])
AROUND = st.sampled_from(
    [
        "{}",
        "cannot open {}",
        "{}: connection refused",
        "'{}'",
        '{{"url": "{}", "port": 554}}',
        "<{}>",
        "tried a://host:9092, {} and b://host:1",
    ]
)
NAMES = st.sampled_from(
    [
        "password",
        "ANDON_GATEWAY__PASSWORD",
        "secret_key",
        "aws_secret_access_key",
        "api_key",
        "X-Api-Key",
        "client_secret",
        "access_token",
        "kafka.sasl.password",
        "private_key",
        "AccountKey",
        "passphrase",
    ]
)


@settings(deadline=None)
@given(SCHEMES, USERS, secrets(SAFE_IN_URLS), HOSTS, AROUND)
def test_a_password_in_an_address(
    scheme: str, user: str, secret: str, host: str, around: str
) -> None:
    quotes = "'" if "'" in around and "'" in secret else ""
    secret = secret.replace(quotes, "") if quotes else secret  # a quote would end the quoted text
    never_shown(around.format(f"{scheme}://{user}:{secret}@{host}/live"), secret)


@settings(deadline=None)
@given(SCHEMES, USERS, secrets(NO_BLANK + " é"), HOSTS, AROUND)
def test_an_escaped_password_in_an_address(
    scheme: str, user: str, secret: str, host: str, around: str
) -> None:
    never_shown(around.format(f"{scheme}://{user}:{quote(secret, safe='')}@{host}/live"), secret)


@settings(deadline=None)
@given(SCHEMES, USERS, secrets(NO_BLANK, without="\"'"), HOSTS)
@example("rtsp", "operator", "QXZJV/KQXZJ#VK019@QXZJV", "camera")
def test_a_password_that_should_have_been_escaped(
    scheme: str, user: str, secret: str, host: str
) -> None:
    if secret[:5].isdigit() or secret.split("/")[0].isdigit():
        secret = f"Q{secret}"  # digits to a slash are a port
    never_shown(f"open {scheme}://{user}:{secret}@{host}", secret)


@settings(deadline=None)
@given(USERS, secrets(NO_BLANK + " "), HOSTS)
def test_an_address_within_an_address(user: str, secret: str, host: str) -> None:
    inner = quote(f"rtsp://{user}:{quote(secret, safe='')}@{host}/live", safe="")
    never_shown(f"GET http://proxy/view?camera={inner}&size=2", secret)


@settings(deadline=None)
@given(
    st.sampled_from(["token", "key", "sig", "api-key", "access_token", "pwd", "X-Amz-Signature"]),
    secrets(NO_BLANK + " "),
    st.sampled_from(["?{}", "?a=1&{}", "?{}&a=1", "#{}", "?a=1&{}#end"]),
    AROUND,
)
def test_a_token_in_a_query(name: str, secret: str, place: str, around: str) -> None:
    query = place.format(f"{name}={quote(secret, safe='')}")
    never_shown(around.format(f"https://blob.example/x{query}"), secret)


def as_pairs(name: str, value: str) -> str:
    return str([("host", "a"), (name, value), ("accept", "*/*")])


def as_bytes(name: str, value: str) -> str:
    return str([(b"host", b"a"), (name.encode(), value.encode()), (b"accept", b"*/*")])


HEADERS: list[Callable[[str, str], str]] = [
    lambda name, value: f"{name}: {value}",
    lambda name, value: f"GET / HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\nAccept: */*\r\n",
    lambda name, value: f"curl -H '{name}: {value}' https://host/x",
    lambda name, value: str({"Host": "a", name: value}),
    lambda name, value: json.dumps({"Host": "a", name: value}),
    as_pairs,
    as_bytes,
]


@settings(deadline=None)
@given(
    st.sampled_from(["Bearer", "Token", "Basic", "Digest", ""]),
    st.sampled_from(["Authorization", "authorization", "Proxy-Authorization"]),
    secrets(IN_HEADERS),
    st.sampled_from(HEADERS),
)
def test_a_token_in_a_header(
    scheme: str, name: str, secret: str, printed: Callable[[str, str], str]
) -> None:
    never_shown(printed(name, f"{scheme} {secret}".strip()), secret)


@settings(deadline=None)
@given(
    st.sampled_from(["X-Api-Key", "x-auth-token", "Ocp-Apim-Subscription-Key"]),
    secrets(IN_HEADERS),
    st.sampled_from(HEADERS),
)
def test_a_key_in_a_header_of_its_own(
    name: str, secret: str, printed: Callable[[str, str], str]
) -> None:
    never_shown(printed(name, secret), secret)


@settings(deadline=None)
@given(secrets(NO_BLANK, without=":"), st.sampled_from(HEADERS))
def test_a_login_in_a_header(secret: str, printed: Callable[[str, str], str]) -> None:
    login = base64.b64encode(f"operator:{secret}".encode()).decode()
    shown = masked(printed("Authorization", f"Basic {login}"))
    assert not [login[i : i + 8] for i in range(len(login) - 7) if login[i : i + 8] in shown]


@settings(deadline=None)
@given(secrets(IN_HEADERS), secrets(IN_HEADERS))
def test_cookies_and_digests(secret: str, other: str) -> None:
    never_shown(f"Cookie: theme=dark; session={secret}; csrf={other}", secret, other)
    never_shown(f'Authorization: Digest username="op", response="{secret}"', secret)


DUMPS: list[Callable[[str, str], str]] = [
    lambda name, value: str({"host": "a", name: value, "port": 1}),
    lambda name, value: json.dumps({"host": "a", name: value, "port": 1}),
    lambda name, value: json.dumps({"host": "a", name: value}, indent=2),
    lambda name, value: json.dumps({"body": json.dumps({name: value, "port": 1})}),
    lambda name, value: f"{name} = {json.dumps(value)}\nport = 1",  # TOML
    lambda name, value: f"{name}: {json.dumps(value)}\nport: 1",  # YAML
    lambda name, value: "{}: '{}'\nport: 1".format(name, value.replace("'", "''")),  # YAML too
    lambda name, value: f"export {name}={shlex.quote(value)}; ls",
    lambda name, value: str(["worker", f"--{name}", value]),
    lambda name, value: f"Settings(host='a', {name}={value!r}, port=1)",
]


@settings(deadline=None)
@given(NAMES, secrets(NO_BLANK + " \n\té"), st.sampled_from(DUMPS))
def test_what_a_setting_holds(name: str, secret: str, printed: Callable[[str, str], str]) -> None:
    never_shown(printed(name, secret), secret)


@settings(deadline=None)
@given(NAMES, secrets(NO_BLANK, without="\"'&;,)}]"), st.sampled_from(["{}={}", "{}: {} next"]))
def test_what_a_setting_holds_without_quotes(name: str, secret: str, printed: str) -> None:
    never_shown(printed.format(name, secret), secret)


@settings(deadline=None)
@given(NAMES, secrets(NO_BLANK, without="\"'{["))
def test_a_connection_string_ends_no_secret(name: str, secret: str) -> None:
    never_shown(f"Endpoint=plc;{name}={secret} next", secret)


@settings(deadline=None)
@given(NAMES, secrets(IN_HEADERS))
def test_an_argument_and_an_element(name: str, secret: str) -> None:
    never_shown(f"andon gateway --{name} {secret} --line 1", secret)
    never_shown(f'<ns:{name} type="text">{secret}</ns:{name}>', secret)


@settings(deadline=None)
@given(secrets("\n+/="))
def test_a_private_key(secret: str) -> None:
    begin, end = "-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----"
    never_shown(f"read {begin}\n{secret}\n{end} of the gateway", secret)
    never_shown(f"{begin}\n{secret}", secret)


@settings(deadline=None)
@given(NAMES, secrets(NO_BLANK + " "), st.integers(0, 3))
def test_what_an_event_holds(name: str, secret: str, depth: int) -> None:
    """The value alone does not say that it is secret: its name does, however deep it stands."""
    value: object = {name: secret, "port": 1}
    for _ in range(depth):
        value = [{"inner": value}]
    event = mask_event(None, "info", {"event": "settings", "settings": value, name: secret})
    assert not leaks(secret, json.dumps(event))
    assert '"port": 1' in json.dumps(event)


@settings(deadline=None)
@given(secrets(SAFE_IN_URLS, without="'"))
def test_an_error_and_an_address_in_an_event(secret: str) -> None:
    url = f"rtsp://operator:{secret}@camera/live"
    event = mask_event(
        None,
        "info",
        {
            "event": "e",
            "error": OSError(url),
            "url": urlsplit(url),
            "all": {url},
            "raw": url.encode(),
        },
    )
    assert not leaks(secret, json.dumps(event, default=repr))


@pytest.mark.parametrize("value", [3, 2.5, True, None, [1, {"takt_s": 2.0}], ["a", "b"]])
def test_what_is_not_secret_stays(value: object) -> None:
    assert mask_event(None, "info", {"event": "e", "value": value})["value"] == value
