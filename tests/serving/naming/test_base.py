"""Names are matched by what they mean, and never guessed."""

import pytest

from serving.naming.base import NORMAL, UNKNOWN, match_class

CLASSES = ["blowhole", "Break", "serrated discrepancies"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("blowhole", "blowhole"),
        ("BLOWHOLE", "blowhole"),
        ("  break\n", "Break"),
        ("Serrated  discrepancies.", "serrated discrepancies"),
        ("Normal.", NORMAL),
        ("unknown", UNKNOWN),
        ("blow hole", UNKNOWN),
        ("blowhole or break", UNKNOWN),
        ("", UNKNOWN),
        (".", UNKNOWN),
    ],
)
def test_match(answer: str, expected: str) -> None:
    assert match_class(answer, CLASSES) == expected


def test_ambiguity_is_unknown_but_the_exact_name_wins() -> None:
    assert match_class("CRACK", ["crack", "Crack."]) == UNKNOWN
    assert match_class("Crack.", ["crack", "Crack."]) == "Crack."
