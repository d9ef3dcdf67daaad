"""What the generated documents share: tables, and the docstrings below fields and members."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Sequence

GENERATED = "<!-- Written by `python -m andon.reference`; a test compares it with the code. -->"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table.

    >>> table(["name"], [["a|b"]])
    ['| name |', '|---|', '| a\\\\|b |']
    """
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for cells in rows:
        plain = (cell.replace("``", "`").replace("\n", " ").replace("|", "\\|") for cell in cells)
        lines.append("| " + " | ".join(plain) + " |")
    return lines


def docstrings_below(kind: type) -> dict[str, str]:
    """The docstring below each field or member that the class itself defines."""
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        return {}
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for line, after in zip(body.body, body.body[1:], strict=False):
        words = after.value if isinstance(after, ast.Expr) else None
        if not isinstance(words, ast.Constant):
            continue
        if isinstance(line, ast.AnnAssign):
            found[ast.unparse(line.target)] = inspect.cleandoc(str(words.value))
        elif isinstance(line, ast.Assign):
            found[ast.unparse(line.targets[0])] = inspect.cleandoc(str(words.value))
    return found
