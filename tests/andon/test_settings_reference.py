"""The reference of settings is whole; ``tests/test_documents.py`` compares it with the code."""

from pathlib import Path

from andon.settings import Settings
from andon.settings_names import nodes_of
from andon.settings_reference import undescribed

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_every_setting_is_explained() -> None:
    assert not undescribed(), "a docstring below the field says what it does"


def test_every_setting_stands_in_the_document() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for node in nodes_of(Settings):
        if node.section is None and node.path[-1] not in ("endpoints", "shots"):
            assert f"`{node.variable}`" in text
