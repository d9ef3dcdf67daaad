"""The reference of settings says what the code takes."""

from pathlib import Path

from andon.settings import Settings
from andon.settings_names import nodes_of
from andon.settings_reference import reference, undescribed

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), (
        "run: python -m andon.settings_reference > docs/settings.md"
    )


def test_every_setting_is_explained() -> None:
    assert not undescribed(), "a docstring below the field says what it does"


def test_every_setting_stands_in_the_document() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for node in nodes_of(Settings):
        if node.section is None and node.path[-1] not in ("endpoints", "shots"):
            assert f"`{node.variable}`" in text
