"""Every text of the pages, in every language, from one catalogue: ``texts.toml``."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Protocol

LANGUAGES: Final = ("en", "de")
"""The first is what a browser gets that asks for none of them."""


class Translate(Protocol):
    """What pages call ``t``: a key, and the values that its text names."""

    def __call__(self, key: str, **values: object) -> str: ...


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Key, such as ``live.title`` -> language -> text."""
    sections = tomllib.loads(Path(__file__).with_name("texts.toml").read_text("utf-8"))
    return {
        f"{section}.{name}": texts
        for section, entries in sections.items()
        for name, texts in entries.items()
    }


def translator(language: str) -> Translate:
    """The function that pages call ``t``.

    >>> translator("de")("action.hold")
    'Halten'
    >>> translator("en")("login.wait", seconds=3)
    'Too many tries: wait 3 s.'
    """

    def translate(key: str, **values: object) -> str:
        text = catalogue()[key][language]
        return text.format(**values) if values else text

    return translate


def language_of(cookie: str | None, accepted: str) -> str:
    """The language that was chosen, or the first that the browser accepts and we have.

    >>> language_of(None, "fr;q=0.9, de-AT, en;q=0.5"), language_of("en", "de"), language_of("", "")
    ('de', 'en', 'en')
    """
    if cookie in LANGUAGES:
        return cookie
    wanted: list[tuple[float, str]] = []
    for part in accepted.split(",")[:20]:
        name, _, rest = part.strip().partition(";")
        _, _, weight = rest.partition("q=")
        try:
            wanted.append((-float(weight or 1), name[:2].lower()))
        except ValueError:
            continue
    found = (name for _, name in sorted(wanted, key=lambda w: w[0]) if name in LANGUAGES)
    return next(found, LANGUAGES[0])
