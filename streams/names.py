"""Names as plants write them, and the keys that files and objects get from them. Pure.

A product or class is text: ``lötfehler``, ``AB/12``, ``6ES7 155-6AU01-0BN0``, ``日本``. What cannot
hold every text (a folder, an object's key) takes ``key_of`` the name, and the name itself stands
inside.
"""

import hashlib
import re
import unicodedata
from typing import Final

LONGEST: Final = 200
"""Characters of a product's or class's name."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9_-]|[A-Za-z0-9]")
_DERIVED: Final = re.compile(r"--[0-9a-f]{16}$", re.IGNORECASE)
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]|clock\$)(\..*)?", re.IGNORECASE)
_OPENING: Final = "“„‟‘‚‛«‹"
_CLOSING: Final = "”“‟’‘‛»›"


def normal_form(text: str) -> str:
    """The text as names are compared: composed (NFC), with ordinary blanks, none of them around it.

    A controller pads its strings with blanks or NULs; another's blanks do not break a line.

    >>> normal_form("textile     "), normal_form("6ES7\\N{NO-BREAK SPACE}155\\x00\\x00")
    ('textile', '6ES7 155')
    """
    composed = unicodedata.normalize("NFC", text.rstrip("\x00"))
    blanks = (" " if unicodedata.category(c) == "Zs" else c for c in composed)
    return "".join(blanks).strip(" \x00")


def fault_of(name: str) -> str:
    """Why a text is no name, as the end of a sentence that begins with it; empty when it is one.

    >>> fault_of("6ES7 155-6AU01-0BN0"), fault_of("lötfehler"), fault_of("tile ")
    ('', '', 'has blanks around it')
    """
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    odd = next((c for c in name if not c.isprintable()), "")
    if unicodedata.category(odd or " ") == "Zs":
        if odd:
            return f"has a blank of another kind in it ({_called(odd)})"
    elif odd:
        return f"has a character that nobody sees in it ({_called(odd)})"
    if name != name.strip():
        return "has blanks around it"
    if len(name) > 1 and name[0] in _OPENING and name[-1] in _CLOSING:
        return "has typographic quotes around it, which belong to the name in YAML"
    if not unicodedata.is_normalized("NFC", name):
        return "is not composed (Unicode NFC)"
    return ""


def mended(name: str) -> str:
    """The name that was meant by one with a fault; empty where nothing is left.

    >>> mended("“tile” ")
    'tile'
    """
    seen = "".join(c for c in normal_form(name) if c.isprintable())[:LONGEST].strip()
    if len(seen) > 1 and seen[0] in _OPENING and seen[-1] in _CLOSING:
        seen = seen[1:-1].strip()
    return seen


def key_of(name: str) -> str:
    """One segment of a path or key for a name: the name itself where every file system takes it.

    Other names become what of them is plain, and 16 digits of their SHA-256. No two names that
    are not plain share a key, whether or not a file system tells upper and lower case apart.

    >>> key_of("textile"), key_of("AB/12 ö")
    ('textile', 'ab-12-o--db51c3d6e6300ad0')
    """
    if _PLAIN.fullmatch(name) and not _DEVICES.fullmatch(name) and not _DERIVED.search(name):
        return name
    return derived_key(name)


def derived_key(name: str) -> str:
    """What of a name is plain, and 16 digits of its SHA-256."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    shown = re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-") or "name"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{shown}--{digest}"


def is_portable(name: str) -> bool:
    """Whether every file system takes the name for a file as people read it.

    >>> is_portable("lötfehler"), is_portable("AB/12"), is_portable("nul.txt")
    (True, False, False)
    """
    return not (
        fault_of(name)
        or set(name) & set('<>:"/\\|?*')
        or name[0] in ".~-"
        or name[-1] == "."
        or len(name.encode()) > LONGEST
        or _DEVICES.fullmatch(name)
        or _DERIVED.search(name)
    )


def is_derived(key: str) -> bool:
    """Whether a key is not the name itself."""
    return bool(_DERIVED.search(key))


def _called(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}".strip()
