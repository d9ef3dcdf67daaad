"""No dependency may shadow our packages, and no pin may name an index."""

from importlib.metadata import distributions, packages_distributions
from pathlib import Path

OURS = {
    "andon", "streams", "serving", "connectors", "policies", "prompts", "history", "evaluation",
    "infra", "tests",
}  # fmt: skip
ROOT = Path(__file__).parents[2]


def test_no_dependency_ships_a_module_named_like_ours() -> None:
    owners = packages_distributions()
    assert len(list(distributions())) > 50, "run in the project's environment"
    shadowed = {name: set(owners.get(name, ())) - {"andon"} for name in OURS}
    assert not {name: found for name, found in shadowed.items() if found}


def test_pins_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "--" not in text


def test_every_direct_dependency_is_pinned_and_documented() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (ROOT / "constraints.txt").read_text().lower()
    documented = (ROOT / "docs" / "dependencies.md").read_text().lower()
    extras = [r for found in project["optional-dependencies"].values() for r in found]
    wanted = [*project["dependencies"], *extras]
    for requirement in wanted:
        name = requirement.split(">")[0].split("[")[0].strip().lower()
        assert f"\n{name.replace('.', '-')}==" in f"\n{pins}", f"{name} is not pinned"
        if name not in ("numpy", "pyyaml"):
            assert name in documented, f"{name} is not in docs/dependencies.md"
