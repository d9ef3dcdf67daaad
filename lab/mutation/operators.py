"""The mutants of a module, by kind: comparison, boolean, sign, branch. Pure.

A mutant is the module's tree with one node changed. Assertions narrow types and guard against
defects, so that what stands in them is left alone.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

COMPARISON, BOOLEAN, SIGN, BRANCH = "comparison", "boolean", "sign", "branch"

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_SIGNS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}


@dataclass(frozen=True)
class Mutant:
    """One change: where it stands, and what was made of what."""

    line: int
    column: int
    kind: str
    before: str
    after: str
    number: int
    """Its place among the mutants of the module, from 0."""


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module.

    >>> [(m.before, m.after) for m in mutants("def f(a): return a < 1 and a > 0")]
    [('a < 1 and a > 0', 'a < 1 or a > 0'), ('a < 1', 'a <= 1'), ('a > 0', 'a >= 0')]
    """
    return [mutant for mutant, _ in _all(ast.parse(source))]


def mutated(source: str, number: int) -> ast.Module:
    """The module's tree with the mutant of this number. Positions stay those of the source."""
    tree = ast.parse(source)
    for mutant, apply in _all(tree):
        if mutant.number == number:
            apply.put()
            return ast.fix_missing_locations(tree)
    raise IndexError(number)


@dataclass
class _Change:
    """One node to put in the place of another."""

    parent: ast.AST
    field: str
    index: int | None
    new: ast.AST

    def put(self) -> None:
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new


def _all(tree: ast.Module) -> Iterator[tuple[Mutant, _Change]]:
    number = 0
    for parent, field, index, node in _nodes(tree):
        for kind, new in _changed(node):
            shown_before, shown_after = _shown(node, new)
            mutant = Mutant(
                *_position(node),
                kind,
                shown_before,
                shown_after,
                number,
            )
            yield mutant, _Change(parent, field, index, ast.copy_location(new, node))
            number += 1


def _position(node: ast.AST) -> tuple[int, int]:
    """Line and column; some nodes have none and stand where their first child does."""
    for one in ast.walk(node):
        if isinstance(one, ast.stmt | ast.expr):
            return one.lineno, one.col_offset
    return 0, 0


def _nodes(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node below with its place, outermost first; annotations and decorators are none."""
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST) and not isinstance(node, ast.Assert):
                yield parent, field, index if isinstance(value, list) else None, node
                yield from _nodes(node)


def _changed(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What can be made of a node."""
    for new in _compared(node):
        yield COMPARISON, new
    for new in _opposite(node):
        yield BOOLEAN, new
    for new in _other_sign(node):
        yield SIGN, new
    for new in _other_branch(node):
        yield BRANCH, new


def _compared(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            new = copy.deepcopy(node)
            new.ops[i] = _COMPARISONS[type(operator)]()
            yield new


def _opposite(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield ast.BoolOp(other, copy.deepcopy(node.values))
        case ast.UnaryOp(ast.Not(), operand):
            yield copy.deepcopy(operand)
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)


def _other_sign(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.UnaryOp(ast.USub(), operand):
            yield copy.deepcopy(operand)
        case ast.BinOp() if type(node.op) in _SIGNS and not _is_text(node):
            new = copy.deepcopy(node)
            new.op = _SIGNS[type(node.op)]()
            yield new
        case ast.AugAssign() if type(node.op) in _SIGNS:
            added = copy.deepcopy(node)
            added.op = _SIGNS[type(node.op)]()
            yield added


def _other_branch(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Constant):
            negated = copy.deepcopy(node)
            negated.test = ast.UnaryOp(ast.Not(), negated.test)
            yield negated
        case ast.comprehension():
            for i, condition in enumerate(node.ifs):
                filtered = copy.deepcopy(node)
                filtered.ifs[i] = ast.UnaryOp(ast.Not(), copy.deepcopy(condition))
                yield filtered
        case ast.match_case(guard=ast.expr() as guard):
            guarded = copy.deepcopy(node)
            guarded.guard = ast.UnaryOp(ast.Not(), copy.deepcopy(guard))
            yield guarded


def _is_text(node: ast.BinOp) -> bool:
    """Whether a sum joins texts: any other operator raises at once, which proves nothing."""
    texts = (ast.JoinedStr, ast.List, ast.Tuple)
    return any(
        isinstance(side, texts) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _shown(before: ast.AST, after: ast.AST) -> tuple[str, str]:
    """Both as code, of a statement with a body only its condition."""
    pairs = []
    for node in (before, after):
        match node:
            case ast.If() | ast.While() | ast.IfExp():
                pairs.append(f"if {ast.unparse(node.test)}")
            case ast.comprehension():
                pairs.append(" ".join(f"if {ast.unparse(i)}" for i in node.ifs))
            case ast.match_case(guard=ast.expr() as guard):
                pairs.append(f"case if {ast.unparse(guard)}")
            case _:
                pairs.append(ast.unparse(node))
    return pairs[0][:120], pairs[1][:120]
