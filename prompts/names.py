"""The form in which names are compared, everywhere."""

import re
import unicodedata
from typing import Final

_SPACE: Final = re.compile(r"\s+")
_FINAL_PUNCTUATION: Final = ".,;:!?…。"


def fold(name: str) -> str:
    """NFKC, casefold, single spaces, no final punctuation.

    >>> fold("  Serrated   Discrepancies. ")
    'serrated discrepancies'
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return _SPACE.sub(" ", text).strip().rstrip(_FINAL_PUNCTUATION).rstrip()
