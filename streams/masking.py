"""One rule for what must not be read in logs, messages and reports: passwords, keys and tokens.

What is masked is found by where it stands: in an address, after a name that says it is secret, in a
header. Where the end of a secret is not certain, more is masked rather than less.
"""

import logging
import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "***"
_NAME: Final = (
    r"[\w.\-]{0,40}(?:password|passwd|passphrase|secret(?:[_\-]?(?:access[_\-]?)?key)?|token"
    r"|(?:api|access|subscription|account|private|signing)[_\-]?key(?:[_\-]?id)?|credentials?)"
)
"""Names whose values are secret wherever they stand."""
_IN_QUERIES: Final = rf"{_NAME}|pwd|pass|sig|[\w.\-]{{0,40}}signature|key|auth|code"
"""In the query of an address, shorter names are secret too."""
_HEADERS: Final = r"(?:proxy-)?authorization|(?:set-)?cookie|x-auth"
"""Headers whose whole value is secret."""
_NOT_YET: Final = r"(?!\*\*\*(?:[\s\"'&;,)}\]#\\<@]|$))"
"""What was masked stays as it is."""
_QUOTED: Final = (
    rf"b?(?P<quote>\"|'){_NOT_YET}"
    # strings that touch are one value, as a shell's and YAML's quotes within quotes
    r"(?:(?<=\")(?:\\.|[^\"\\])+(?:\"|\Z)|(?<=')(?:\\.|[^'\\])+(?:'|\Z))"
    r"(?:\"(?:\\.|[^\"\\])*(?:\"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z))*"
)
_NESTED: Final = rf"(?P<escaped>\\[\"']){_NOT_YET}(?:\\{{2,}}.|(?!(?P=escaped)).)+"
"""JSON within a string of JSON."""
_BARE: Final = rf"(?![\"'\\]|[bru][\"']){_NOT_YET}(?:[^\s\"'&;,)}}\]]|[&;,)}}\]](?=[^\s\"'{{\[]))+"
"""A value without quotes ends at a blank, or at punctuation that a blank or a quote follows."""
_THEN: Final = r"(?:[\"']?\s{0,3}[=:]|\\?[\"']\s{0,3}[:,])\s{0,3}"
"""Between a name and its value: ``=``, ``:``, and a comma where pairs are printed."""


def _values_of(names: str, bare: str = _BARE) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<lead>(?<![\w.\-])(?:{names}){_THEN})(?:{_QUOTED}|{_NESTED}|{bare})", re.I | re.S
    )


def _masked_value(found: re.Match[str]) -> str:
    quote = found["quote"] or found["escaped"] or ""
    closing = "" if found["escaped"] else quote  # the closing one of a nested string stays
    return f"{found['lead']}{quote}{MASK}{closing}"


_PAIRS: Final = (
    _values_of(_HEADERS, rf"(?![\"'\\\s]){_NOT_YET}[^\r\n]+"),
    _values_of(_NAME),
)
_RULES: Final = (
    # private keys as files hold them, to their end or to the text's
    (
        re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)(?!\*).*?(?=-----END |\Z)", re.S),
        rf"\1{MASK}",
    ),
    # user:password@ in any address; the password may hold what should have been escaped
    (
        re.compile(
            r"([a-z][a-z0-9+.\-]{0,20}://[^\s/?#:@\"']{0,200}):(?!\d{1,5}(?:[/?#,\s]|$))"
            rf"{_NOT_YET}[^\s\"]{{1,2000}}@",
            re.I,
        ),
        rf"\1:{MASK}@",
    ),
    # the same where the address itself stands escaped in another
    (
        re.compile(
            r"(%3A%2F%2F(?:(?!%3A|%40)[^\s/&\"']){0,200}%3A)"
            rf"{_NOT_YET}[^\s\"'&]{{1,2000}}%40",
            re.I,
        ),
        rf"\1{MASK}%40",
    ),
    # user:password@ where the scheme was lost, and the user perhaps with it
    (
        re.compile(
            rf"(?<![\w.\-:])([\w.\-%+~]{{0,100}}):{_NOT_YET}[^\s/@\"']{{1,2000}}@(?=[\w\[])"
        ),
        rf"\1:{MASK}@",
    ),
    # a token alone before the host
    (re.compile(r"\b(https?://)[^\s/?#:@\"']{8,2000}@", re.I), rf"\1{MASK}@"),
    (re.compile(rf"([?&#](?:{_IN_QUERIES})=){_NOT_YET}[^\s&#\"']+", re.I), rf"\1{MASK}"),
    # as arguments of a command, and in XML
    (
        re.compile(rf"(?<![\w.\-])(--?(?:{_NAME})\s{{1,3}})(?![\s\-]){_NOT_YET}\S+", re.I),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            rf"(<(?:[\w\-]{{1,20}}:)?(?:{_NAME})(?:\s[^<>]{{0,200}})?>){_NOT_YET}[^<]+", re.I
        ),
        rf"\1{MASK}",
    ),
    # what looks like a secret, wherever it stands
    (re.compile(r"\b(bearer|basic|digest) [a-z0-9._~+/=\-]{6,}", re.I), rf"\1 {MASK}"),
    (re.compile(r"\b(sk|pk|rk|xox[abp]|ghp|glpat|hf)([-_])[A-Za-z0-9_\-]{8,}"), rf"\1\2{MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*"), MASK),
)
_SECRET_NAME: Final = re.compile(rf"{_NAME}|{_HEADERS}", re.I)


def masked(text: str) -> str:
    """The text with its passwords, keys and tokens replaced by ``***``.

    >>> masked("rtsp://operator:p@ss@10.0.0.7:554/live?token=abc")
    'rtsp://operator:***@10.0.0.7:554/live?token=***'
    """
    for pattern in _PAIRS:
        text = pattern.sub(_masked_value, text)
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def masked_value(name: str, value: object) -> object:
    """A value that is printed under a name, with what is secret in it masked, however deep.

    Numbers and truth values stay what they are; what is neither those, text nor a collection
    becomes its masked text.

    >>> masked_value("camera", {"url": "rtsp://u:pw@cam", "password": "x y", "port": 554})
    {'url': 'rtsp://u:***@cam', 'password': '***', 'port': 554}
    """
    match value:
        case None | bool() | int() | float() if not _SECRET_NAME.fullmatch(name):
            return value
        case None | bool():
            return value
        case Mapping():
            return {key: masked_value(str(key), inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [masked_value(name, inner) for inner in value]
        case _ if _SECRET_NAME.fullmatch(name):
            return MASK
        case bytes():
            return masked(value.decode("utf-8", "backslashreplace"))
        case _:
            return masked(str(value))


class MaskingFilter(logging.Filter):
    """Masks what a logger is told, its exceptions too, before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, masked."""
        record.msg, record.args = masked(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        return True


def masking_logger(name: str) -> logging.Logger:
    """The logger of a module whose process does not set up its own log, as a replica of Ray."""
    logger = logging.getLogger(name)
    if not any(isinstance(each, MaskingFilter) for each in logger.filters):
        logger.addFilter(MaskingFilter())
    return logger
