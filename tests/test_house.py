"""The house keeps its order: short files, no import cycles, one name for one thing, no clocks.

import-linter keeps the arrows between packages (``make lint``); this looks inside them.
"""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "andon",
    "connectors",
    "console",
    "history",
    "infra",
    "lab",
    "policies",
    "prompts",
    "serving",
    "streams",
)
LONGEST_FILE = 350
SHARED_NAMES = {
    "Blob": "a piece of the expert's region; the same as it travels in an event",
    "Box": "a box in the space of conditions; a box on the picture",
    "Choice": "the texts that a condition allows; how a runtime was chosen",
    "Part": "a trigger until its outcome; the base of a policy's parts",
    "Region": "of an expert, which imports nothing of ours; the same as it travels in an event",
}
"""Public class names that two modules share, with what each means. The list may only shrink."""

PORTS = ("streams/ports.py", "connectors/line_link.py", "serving/bundle_store.py")
TWINS_ELSEWHERE = {
    "Blobs": "serving/bundle_store.py",  # production's own, in a folder
    "Policy": "tests/contracts/twins/policies.py",
    "PolicySource": "tests/contracts/twins/policies.py",
}

CLOCKS = {"process_time", "perf_counter", "monotonic", "thread_time", "perf_counter_ns"}
LEAST_DEADLINE_S = 5.0
"""A deadline for a state to arrive may be asserted; whatever is shorter asserts a speed."""


def product_files() -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", *(f"{name}/**.py" for name in PACKAGES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in found.stdout.split()]


def ports() -> set[str]:
    """The protocols that adapters implement."""
    return {
        node.name
        for name in PORTS
        for node in ast.parse((ROOT / name).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and "Protocol" in {ast.unparse(b) for b in node.bases}
    }


def test_no_file_is_too_long() -> None:
    files = [*product_files(), *ROOT.glob("tests/**/*.py")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert len(lengths) > 100
    assert not {str(path): n for path, n in lengths.items() if n > LONGEST_FILE}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    # The one deferred import upwards: the laboratory's commands, loaded when they are called.
    graph.remove_import(importer="andon.cli.laboratory", imported="lab.cli")
    imports = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_one_name_one_thing() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for path in product_files():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(str(path.relative_to(ROOT)))
    doubled = {name: files for name, files in where.items() if len(files) > 1}
    assert doubled.keys() == SHARED_NAMES.keys()


@pytest.mark.parametrize("port", sorted(ports()))
def test_each_port_has_one_suite_and_a_twin(port: str) -> None:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", port).lower()
    twin = ROOT / TWINS_ELSEWHERE.get(port, f"tests/contracts/twins/{name}.py")
    suite = ROOT / "tests" / "contracts" / f"test_{name}.py"
    assert suite.is_file(), f"{port} has no contract suite"
    assert twin.is_file(), f"{port} has no twin"
    others = [
        path
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if re.search(rf"^class (Twin|Fake|Memory|InMemory){port}\b", path.read_text(), re.MULTILINE)
    ]
    assert len(others) <= 1, f"{port} has twins in {others}"


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def is_timed(node: ast.AST, timed: set[str]) -> bool:
    """Whether an expression reads a clock, or uses a variable that was computed from one."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    read = {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}
    return bool(read & CLOCKS or names_in(node) & timed)


def timed_names(function: ast.AST) -> set[str]:
    """Variables that hold clock readings, their differences, or lists of such."""
    timed: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and is_timed(node.value, timed):
            timed |= {name for target in node.targets for name in names_in(target)}
    for node in ast.walk(function):
        is_append = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if is_append and node.func.attr == "append" and any(is_timed(a, timed) for a in node.args):
            timed |= names_in(node.func.value)
    return timed


def numbers_named(function: ast.AST) -> dict[str, float]:
    """Variables that are set to a plain number, alone or in a tuple."""
    found: dict[str, float] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            left = target.elts if isinstance(target, ast.Tuple) else [target]
            right = value.elts if isinstance(value, ast.Tuple) else [value]
            for name, number in zip(left, right, strict=False):
                plain = getattr(number, "value", None)
                if isinstance(name, ast.Name) and isinstance(plain, int | float):
                    found[name.id] = plain
    return found


def speeds_asserted(tree: ast.AST) -> Iterator[int]:
    """Lines of assertions that a difference of clock readings is below a short time."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        timed, numbers = timed_names(function), numbers_named(function)
        for node in ast.walk(function):
            if not (isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare)):
                continue
            (operator, *_), (bound, *_) = node.test.ops, node.test.comparators
            limit = getattr(bound, "value", numbers.get(getattr(bound, "id", "")))
            is_short = isinstance(limit, int | float) and limit < LEAST_DEADLINE_S
            if (
                is_short
                and isinstance(operator, ast.Lt | ast.LtE)
                and is_timed(node.test.left, timed)
            ):
                yield node.lineno


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n b = time.monotonic()\n g()\n assert time.monotonic() - b < 1.5", [4]),
        ("def f():\n b = perf_counter()\n took = perf_counter() - b\n assert took < 1", [4]),
        ("def f():\n b = time.monotonic()\n assert time.monotonic() - b < 30", []),
        ("def f():\n t = 1.0\n w.append(perf_counter() - b)\n assert max(w) < t", [4]),
        ("def f():\n assert len(x) < 2", []),
    ],
)
def test_an_asserted_speed_is_found(source: str, expected: list[int]) -> None:
    assert list(speeds_asserted(ast.parse(source))) == expected


def test_no_test_asserts_a_speed() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line in speeds_asserted(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "speed is a benchmark's matter: " + ", ".join(found)
