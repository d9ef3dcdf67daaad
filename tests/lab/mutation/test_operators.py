"""Each kind of mutant is made once at each place, and nothing else in the module changes."""

import ast

import pytest

from lab.mutation.cores import CORES
from lab.mutation.operators import mutants, mutated
from lab.mutation.run import ROOT

CASES = {
    "a < b": ["a <= b"],
    "a <= b": ["a < b"],
    "a > b": ["a >= b"],
    "a >= b": ["a > b"],
    "a == b": ["a != b"],
    "a is not b": ["a is b"],
    "a in b": ["a not in b"],
    "a < b < c": ["a <= b < c", "a < b <= c"],
    "a and b": ["a or b"],
    "not a": ["a"],
    "True": ["False"],
    "a + b": ["a - b"],
    "-a": ["a"],
    "a // b": ["a * b"],
    "'text' + a": [],
    "[1] + a": [],
    "[i for i in a if i]": ["[i for i in a if not i]"],
    "b if a else c": ["b if not a else c"],
    "a += 1": ["a -= 1"],
    "a | b": [],
}


@pytest.mark.parametrize(("source", "expected"), CASES.items())
def test_what_is_made_of_what(source: str, expected: list[str]) -> None:
    made = [ast.unparse(mutated(source, mutant.number)) for mutant in mutants(source)]
    assert made == expected


def test_a_branch_and_a_guard_are_negated() -> None:
    source = "match a:\n    case 1 if b:\n        pass\nif a:\n    pass\nwhile True:\n    pass"
    made = [ast.unparse(mutated(source, mutant.number)) for mutant in mutants(source)]
    assert "case 1 if not b:" in made[0]
    assert "if not a:" in made[1]
    assert [m.kind for m in mutants(source)] == ["branch", "branch", "boolean"]


def test_assertions_and_annotations_are_left_alone() -> None:
    assert not mutants("assert a < b\ndef f(a: int | None = None) -> bool | None: ...")


@pytest.mark.parametrize("module", [m for core in CORES.values() for m in core.modules])
def test_each_mutant_of_a_core_compiles_and_differs(module: str) -> None:
    source = (ROOT / module).read_text(encoding="utf-8")
    whole, found = ast.unparse(ast.parse(source)), mutants(source)
    assert [mutant.number for mutant in found] == list(range(len(found)))
    for mutant in found[::7]:
        tree = mutated(source, mutant.number)
        compile(tree, module, "exec")
        assert ast.unparse(tree) != whole, mutant
        assert mutant.line > 0
    with pytest.raises(IndexError):
        mutated(source, len(found))
