"""The completion of a policy that is being written: thirty positions that were fixed before it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.authoring.completion import complete

CURSOR = "‸"
FILE = Path(__file__).parents[2] / "console" / "completions.yaml"
FIXED = yaml.safe_load(FILE.read_text("utf-8"))
POSITIONS = [
    (p["name"], p.get("whole") or FIXED["head"] + p["text"], p["offers"])
    for p in FIXED["positions"]
]


def offered(text: str) -> list[str]:
    offset = text.index(CURSOR)
    return [o.label for o in complete(text.replace(CURSOR, ""), offset).offers]


def test_there_are_thirty_positions() -> None:
    assert len(POSITIONS) == 30
    assert len({name for name, _, _ in POSITIONS}) == 30


@pytest.mark.parametrize(
    ("text", "expected"), [p[1:] for p in POSITIONS], ids=[p[0] for p in POSITIONS]
)
def test_position(text: str, expected: list[str]) -> None:
    assert sorted(offered(text)) == sorted(expected)


def test_what_is_typed_is_replaced_and_no_more() -> None:
    text = "product: tile\nclasses:\n  edge chip: {severity: d"
    found = complete(text, len(text))
    assert (text[found.start :], [o.insert for o in found.offers]) == ("d", ["defect"])
    text = "product: tile\nclasses:\n  edge chip: {}\nrules:\n  - when: class == 'edge c"
    found = complete(text, len(text))
    assert (text[found.start :], [o.insert for o in found.offers]) == ("edge c", ["edge chip"])


def test_methods_of_a_text_and_lints_to_silence() -> None:
    assert offered("rules:\n  - when: lot.‸") == ["startsWith", "endsWith", "contains"]
    assert offered("rules:\n  - when: area_mm2.‸") == []
    assert offered("silence:\n  - code: W3‸") == ["W301", "W302", "W303"]


@pytest.mark.parametrize(
    "text",
    ["# cl‸", "product: ti‸", "a: {{{{‸", "\t‸", "a: *b‸", "rules:\n  - when: class == 'a' ‸"],
)
def test_nothing_is_offered(text: str) -> None:
    assert offered(text) == []


@given(st.text(alphabet="ab:-'\"{}[], \n#>|&*\ue000é", max_size=60), st.integers(0, 60))
@settings(max_examples=200)
def test_no_text_breaks_it(text: str, offset: int) -> None:
    found = complete(text, min(offset, len(text)))
    assert 0 <= found.start <= min(offset, len(text))


def test_every_beginning_of_a_whole_policy_is_read() -> None:
    text = (Path(__file__).parents[1] / "full.yaml").read_text("utf-8")
    for offset in range(0, len(text), 97):
        complete(text, offset)
