"""Hostile and mistaken conditions: refused with a reason."""

import json
from pathlib import Path

import pytest

from policies.authoring.loading import check_file
from policies.conditions.compiled import CompiledCondition, context_of, problems_of
from policies.conditions.variables import Vocabulary
from policies.errors import ConditionError

VOCABULARY = Vocabulary(frozenset({"crack", "dust"}), frozenset({"rim"}), frozenset({"night"}))


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        ("[1,2,3].all(x, [1,2,3].all(y, x + y > 0))", "list"),
        ("lot.map(c, c + c) == lot", "'.map'"),
        ("lot.exists(c, c == 'a')", "'.exists'"),
        ("lot.matches('(a+)+$')", "'.matches'"),
        ("size(lot) > 3", "'size'"),
        ("duration('1h') > duration('1s')", "'duration'"),
        ("has(lot.x)", "'has'"),
        ("lot[0] == 'a'", "'['"),
        ("lot + lot + lot == lot", "'+' needs two numbers"),
        ("lot == 'a' + 'b'", "'+' needs two numbers"),
        ("lot == '" + "a" * 400 + "'", "200 characters"),
        ("lot == 'a\x00b'", "control characters"),
        ("{'a': 1} == {'a': 1}", "'{'"),
        ("class == 'crack' ? true : false", "'? :'"),
        ("__import__('os').system('true')", "'__import__'"),
        ("class.__class__ == 'x'", "'.__class__'"),
        ("(" * 30 + "true" + ")" * 30, "nested"),
        ("!" * 60 + "true", "nested"),
        (" && ".join(["true"] * 120), "more than 200 parts"),
        (" || ".join(["count > 1"] * 400), "too long"),
        ("zone in [" + ", ".join(["'rim'"] * 250) + "]", "parts"),
        ("count / 0 > 1", "above 0"),
        ("count / area_px > 1", "above 0"),
        ("count > 1e13", "too large"),
        ("count % 2 == 1", "'%'"),
        ("count > 1; lot == 'a'", "';'"),
        ("`lot` == 'a'", "'`'"),
        ("lot == r'a'", "not expected"),
        ("", "missing"),
        ("   ", "missing"),
    ],
)
def test_hostile_conditions_are_refused(hostile: str, reason: str) -> None:
    with pytest.raises(ConditionError) as caught:
        CompiledCondition(hostile, VOCABULARY)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("mistake", "column", "fix"),
    [
        ("class = 'crack'", 7, "'=='"),
        ("class == crack", 10, "quotes: 'crack'"),
        ("class == 'crak'", 10, "'crack'"),
        ("zone == 'rin'", 9, "'rim'"),
        ("shift == 'nigth'", 10, "'night'"),
        ("area > 3", 1, "area_px"),
        ("count is 3", 7, "write =="),
        ("count > 3 and zone == 'rim'", 11, "'&&'"),
        ("not class == 'crack'", 1, "'!'"),
        ("area_mm2 ≥ 3", 10, "'>='"),
        ("area_mm2 > 2,5", 13, "decimal point"),
        ("area_mm2 > 3mm", 13, "without its unit"),
        ("confidence > 80", 14, "0.8"),
        ("p_value < 5", 11, "0.05"),
        ("p_value < 5 %", 13, "0.05"),
        ("1 < count < 5", 11, "&&"),
        ("area_mm2 > longest_mm", 10, "one unit"),
        ("area_mm2 + area_px > 3", 10, ""),
        ("count == '3'", 7, "take the quotes away"),
        ("class == 123", 7, "quotes around it, such as '123'"),
        ("class in [123]", 11, "quotes around it, such as '123'"),
        ("class == ‘crack’", 10, "write ' before"),
        ("class == 'cr\N{CYRILLIC SMALL LETTER A}ck'", 10, "U+0430 CYRILLIC SMALL LETTER A"),
        ("zone in 'rim'", 9, "in ['a', 'b']"),
        ("zone in []", 9, "at least one"),
        ("zone > 'rim'", 6, "=="),
        ("!class == 'crack'", 2, "compare"),
        ("count", 1, "compare"),
        ("count.startsWith('3')", 6, ""),
    ],
)
def test_mistakes_are_pointed_at(mistake: str, column: int, fix: str) -> None:
    first = problems_of(mistake, VOCABULARY)[0]
    assert first.column == column, str(first)
    assert fix in first.fix, str(first)


def test_several_mistakes_of_one_condition_show_together() -> None:
    found = problems_of("class == 'crak' && zone == 'rin' || area_mm2 > longest_mm", VOCABULARY)
    assert [p.column for p in found] == [10, 28, 46]


def test_numbers_are_doubles_whatever_they_look_like() -> None:
    condition = CompiledCondition("area_mm2 * 2 > 5 && count == 3", VOCABULARY)
    assert condition.holds(context_of({"area_mm2": 2.6, "count": 3.0}))
    assert not condition.holds(context_of({"area_mm2": 2.5, "count": 3.0}))
    assert condition.variables == ("area_mm2", "count")


@pytest.mark.parametrize("name", ["a\nb", "a\u202eb", "a" * 201, " a", "\x7f", "\u2028", ""])
def test_hostile_class_names_of_a_file_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "p.yaml"
    entry = json.dumps({name: {"severity": "defect", "action": "scrap"}})
    path.write_text(f"product: p\nclasses: {entry}\n")
    (problem,) = check_file(path).errors
    assert problem.line == 2
    assert problem.reason.startswith("class ")
