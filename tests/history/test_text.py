"""Cleaning: total, idempotent, and nothing but NUL and lone surrogates is touched."""

import json
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from history.text import clean, clean_json, event_json, visible
from streams.codes import Severity
from streams.events import Review

any_text = st.text(st.characters(exclude_categories=()))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
    max_leaves=20,
)


@given(any_text)
def test_clean_text_is_utf8_without_nul_and_as_long(words: str) -> None:
    cleaned = clean(words)
    assert "\x00" not in cleaned
    cleaned.encode()
    assert len(cleaned) == len(words)
    assert clean(cleaned) == cleaned
    for before, after in zip(words, cleaned, strict=True):
        assert after == before or before == "\x00" or "\ud800" <= before <= "\udfff"


@given(any_json)
def test_clean_json_can_be_stored(value: object) -> None:
    text = json.dumps(clean_json(value))
    assert json.loads(text) == clean_json(clean_json(value))
    assert "\\u0000" not in text.replace("\\\\", "")


@given(any_json)
@settings(deadline=None)
def test_any_event_becomes_json_that_postgres_takes(value: object) -> None:
    event = Review(
        review_id=UUID(int=1),
        frame_id=UUID(int=2),
        reviewer="Ada",
        severity=Severity.DEFECT,
        reviewed_at=datetime(2026, 1, 1, tzinfo=UTC),
        later_field=value,
    )
    found = json.loads(event_json(event))
    assert found["later_field"] == clean_json(value)
    assert found["severity"] == "defect"
    assert datetime.fromisoformat(found["reviewed_at"]) == event.reviewed_at


@given(any_text)
def test_what_is_shown_holds_no_control_character(words: str) -> None:
    shown = visible(words)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in shown
    shown.encode()


def test_letters_of_the_world_are_shown_as_they_are() -> None:
    for words in ("Ключ 部品 ß", "👩‍🔧 🧱", "a b"):
        assert visible(words) == words
    assert visible("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
