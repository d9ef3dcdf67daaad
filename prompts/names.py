"""Names of classes: those that every product has, and the form in which all are compared."""

import re
import unicodedata
from typing import Final

_SPACE: Final = re.compile(r"\s+")
_FINAL_PUNCTUATION: Final = ".,;:!?…。"
NORMAL: Final = "normal"
"""The anomaly was a false alarm of the vision expert."""
UNKNOWN: Final = "unknown"
"""No class of the policy, or no answer that can be trusted."""
RESERVED: Final = (NORMAL, UNKNOWN)
"""Answers that every classifier may give beside the product's classes."""


_LOOKS_LATIN: Final = str.maketrans(
    "авеікмнорстухјѕһԁԛԝαβεζηικμνορτυχı",
    "abeikmhopctyxjshdqwabezhikmnoptyxi",
)
"""Letters of Cyrillic and Greek, folded, that look like Latin ones, in either case."""


def fold(name: str) -> str:
    """NFKC, casefold, single spaces, no final punctuation.

    >>> fold("  Serrated   Discrepancies. ")
    'serrated discrepancies'
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return _SPACE.sub(" ", text).strip().rstrip(_FINAL_PUNCTUATION).rstrip()


def look_of(name: str) -> str:
    """What people see of a name: two of one look are told apart by nobody.

    >>> look_of("cr\N{CYRILLIC SMALL LETTER A}ck") == look_of("Crack")
    True
    """
    return fold(name).translate(_LOOKS_LATIN)
