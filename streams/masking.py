"""One rule for what must not be read in logs, messages and reports: passwords, keys and tokens."""

import re
from typing import Final

MASK: Final = "***"
_NAME: Final = (
    r"[\w.\-]{0,40}(?:password|passwd|passphrase|secret(?:[_\-]?(?:access[_\-]?)?key)?|token"
    r"|api[_\-]?key|access[_\-]?key(?:[_\-]?id)?|subscription[_\-]?key|account[_\-]?key)"
)
"""Names whose values are secret wherever they stand."""
_VALUE: Final = r"(?!\*\*\*)[^\s&;,\"')}\]]{1,300}"
_RULES: Final = (
    # user:password@ in any address; the password may hold what should have been escaped
    (
        re.compile(
            r"([a-z][a-z0-9+.\-]{0,20}://[^\s/?#:@\"']{0,200}):(?!\d{1,5}(?:[/?#,\s]|$))[^\s\"']{1,200}@",
            re.I,
        ),
        rf"\1:{MASK}@",
    ),
    # user:password@ where the scheme was lost, and the user perhaps with it
    (re.compile(r"(?<![\w.\-:])([\w.\-]{0,100}):[^\s/:@\"'*]{1,100}@(?=[\w\[])"), rf"\1:{MASK}@"),
    # a token alone before the host
    (re.compile(r"\b(https?://)[^\s/?#:@\"']{8,200}@", re.I), rf"\1{MASK}@"),
    # in the query of an address, shorter names are secret too
    (
        re.compile(rf"([?&](?:{_NAME}|pwd|pass|sig|signature|key|auth|code)=){_VALUE}", re.I),
        rf"\1{MASK}",
    ),
    # name=value and "name": "value", as settings and JSON are printed
    (re.compile(rf"(?<![\w.\-])({_NAME}[\"']?\s?[=:]\s?[\"']?){_VALUE}", re.I), rf"\1{MASK}"),
    (re.compile(r"\b(bearer|basic) [a-z0-9._~+/=\-]{6,}", re.I), rf"\1 {MASK}"),
    (re.compile(r"\b(sk|pk|rk|xox[abp]|ghp|glpat|hf)([-_])[A-Za-z0-9_\-]{8,}"), rf"\1\2{MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*"), MASK),
)


def masked(text: str) -> str:
    """The text with its passwords, keys and tokens replaced by ``***``.

    >>> masked("rtsp://operator:p@ss@10.0.0.7:554/live?token=abc")
    'rtsp://operator:***@10.0.0.7:554/live?token=***'
    """
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
