"""Mutations of policy files, drawn by a seed: what editors, tools and lost bytes make of them."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = (
    *sorted((ROOT / "policies" / "products").glob("*.yaml")),
    ROOT / "tests/policies/full.yaml",
)
SCALARS = (
    *("007", "1e3", "0x1F", "on", "no", "1_000", "12:30", "2024-01-02", "null", "~", "", ".inf"),
    *("-.nan", "0,6", "60%", "1e400", "9" * 400, "!!python/object:x {}", "&a b", "*a", "<<", "?"),
    *(
        "'",
        '"',
        "“x”",
        "x" * 300,
        "\u200b",
        "\u00a0",
        "lötfehler",
        "e\u0301" * 90,
        "日本",
        "..",
        "@",
    ),
    *("[[[[", "}}}}", "{" * 60, "- - - - -", "|", ">-", "# x", ": :", "\\x00", "true", "[]", "{}"),
    *("class == 'x", "a && (b", "!" * 400, "(" * 120, "zone in [" + "'a'," * 99 + "]", "1 < 2 < 3"),
)
TOKENS = (
    b"\x00",
    b"\t",
    b"\r",
    b"\xff\xfe",
    b"\xc3",
    b"\x85",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"%",
    b"`",
)


def mutated(seed: int) -> bytes:
    """A shipped policy after one to six changes; the same seed gives the same bytes."""
    rng = random.Random(seed)
    body = rng.choice(FILES).read_bytes()
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        body = rng.choice(CHANGES)(body, rng)
    return body


def _flip(body: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(body) or 1)
    return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]


def _cut(body: bytes, rng: random.Random) -> bytes:
    begin, length = rng.randrange(len(body) or 1), rng.choice((1, 2, 9, 200, 5000))
    return body[:begin] + body[begin + length :]


def _insert(body: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + rng.choice(TOKENS) * rng.choice((1, 1, 3, 1000)) + body[at:]


def _scalar(body: bytes, rng: random.Random) -> bytes:
    """Put an odd value behind one of the colons."""
    lines = body.split(b"\n")
    keyed = [n for n, line in enumerate(lines) if b":" in line]
    if keyed:
        at = rng.choice(keyed)
        lines[at] = lines[at].partition(b":")[0] + b": " + rng.choice(SCALARS).encode()
    return b"\n".join(lines)


def _key(body: bytes, rng: random.Random) -> bytes:
    lines = body.split(b"\n")
    at = rng.randrange(len(lines))
    before, colon, after = lines[at].partition(b":")
    indent = before[: len(before) - len(before.lstrip())]
    lines[at] = indent + rng.choice(SCALARS).encode() + colon + after
    return b"\n".join(lines)


def _lines(body: bytes, rng: random.Random) -> bytes:
    """Move, double, indent or drop a line, as a merge gone wrong does."""
    lines = body.split(b"\n")
    line = lines[rng.randrange(len(lines))]
    at = rng.randrange(len(lines))
    how: Sequence[list[bytes]] = ([line], [line, line], [b"  " + lines[at]], [], [line] * 300)
    return b"\n".join([*lines[:at], *rng.choice(how), *lines[at + 1 :]])


def _encoding(body: bytes, rng: random.Random) -> bytes:
    text = body.decode("utf-8", "replace")
    return text.encode(
        rng.choice(("utf-16", "utf-16-le", "latin-1", "cp1252", "utf-8-sig")), "replace"
    )


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _cut, _insert, _scalar, _scalar, _scalar, _key, _key, _lines, _lines),
    _encoding,
)
