"""The documents have their form, and what they point at is in the repository."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from andon.reference import WRITERS, chart, dashboard
from andon.settings import Settings
from andon.settings_secrets import files_of
from tests.streams.roles.test_path import CLASSIFY_ROLE, INSPECT, POLICY

ROOT = Path(__file__).parents[1]
ADRS = sorted((ROOT / "docs" / "adr").glob("0*.md"))
INDEX = ROOT / "docs" / "adr" / "README.md"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SECTIONS = ["Context", "Decision", "Consequence", "What was measured", "Considered"]
REQUIRED = SECTIONS[:3]
HEAD = re.compile(
    r"# (?P<number>\d{4}): (?P<title>[A-Z\"].*)\n\n"
    r"Status: (?P<status>accepted|superseded by \d{4})\n"
    r"Date: (?P<date>\d{4}-\d{2}-\d{2})\n"
)

PACKAGES = "andon|connectors|console|history|infra|lab|policies|prompts|serving|streams|tests"
PATH = re.compile(rf"(?<![\w./-])(?:{PACKAGES}|docs)/[\w./*-]*\w")
MODULE = re.compile(rf"`((?:{PACKAGES})(?:\.[A-Za-z_]\w*)+)[`(]")
FILE = re.compile(r"`(\w+\.py)[`:]")
TEST = re.compile(r"`(?:\S*::)?(test_\w+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)#:]+)(?:#[^)]*)?\)")
ANCHOR = re.compile(r"\]\(([\w./-]*\.md|)#([^)]+)\)")
SETTING = re.compile(r"ANDON_[A-Z0-9]+__[A-Z0-9_]*[A-Z0-9]")
ADR_NUMBER = re.compile(r"\bADR (\d+)")

TEXTS = ("*.md", "*.py", "*.yaml", "*.toml", "*.jinja", "*.j2", "Makefile", ".ci/run")
FOREIGN = re.compile(
    r"(SIGNALS|PLANT|DETECT|HARDENING|CONSOLE|INTEROP|DESIGN|STYLE|ROADMAP)\.md"
    r"|\bspike\b|\b(the|this) issue\b|\bissue \d|\btask \d"
)
"""Names of texts that are not in the repository, and words that point at work orders."""


def tracked(*patterns: str) -> list[str]:
    found = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", ADRS, ids=lambda p: p.stem)
def test_a_decision_record_has_its_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head = HEAD.match(text)
    assert head, f"{name_of(path)} does not begin with number, title, status and date"
    assert head["number"] == path.name[:4]
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections == [s for s in SECTIONS if s in sections], "unknown sections, or another order"
    assert set(REQUIRED) <= set(sections)
    assert "\n**" not in text, "a bold word where a section's heading should stand"
    successor = head["status"].removeprefix("superseded by ")
    if successor != "accepted":
        assert list(path.parent.glob(f"{successor}-*.md")), f"there is no record {successor}"


def test_the_index_lists_each_decision_record_once_under_its_subject() -> None:
    index = INDEX.read_text(encoding="utf-8")
    wanted = []
    for path in ADRS:
        head = HEAD.match(path.read_text(encoding="utf-8"))
        assert head
        wanted.append(f"| [{head['number']}]({path.name}) | {head['title']} | {head['status']} |")
    rows = re.findall(r"^\| \[.*$", index, re.MULTILINE)
    missing = "\n".join(row for row in wanted if row not in rows)
    assert not missing, f"docs/adr/README.md must hold, each under its subject:\n{missing}"
    assert sorted(rows) == wanted, "a row stands twice, or of no record"
    for _, under in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", index, re.MULTILINE | re.DOTALL):
        of_subject = re.findall(r"^\| \[.*$", under, re.MULTILINE)
        assert of_subject == sorted(of_subject)


def is_defined(dotted: str) -> bool:
    """Whether a module, a name in one, or a topic or file of ``andon.*`` is called so."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        if length < len(parts) and path.with_suffix(".py").is_file():
            source = path.with_suffix(".py").read_text(encoding="utf-8")
            return (
                re.search(rf"^(class|def|async def)?\s*{parts[length]}\b", source, re.M) is not None
            )
        if path.with_suffix(".py").is_file() or (path.is_dir() and length == len(parts)):
            return True
    product = tracked("andon/*.py", "streams/*.py")
    return any(f'"{dotted}"' in (ROOT / name).read_text(encoding="utf-8") for name in product)


def is_there(path: str) -> bool:
    """Whether a path or pattern is in the repository; ``docs/adr/0001`` stands for its file."""
    pattern = path + "-*" if re.fullmatch(r"docs/adr/\d+", path) else path
    return any(ROOT.glob(pattern))


def missing_in(line: str, folder: Path, files: set[str], tests: str) -> list[str]:
    """What one line of a document names and the repository does not have."""
    links = [folder / link for link in LINK.findall(line)]
    missing = [str(link) for link in links if not link.exists()]
    line = LINK.sub("", line)
    missing += [path for path in PATH.findall(line) if not is_there(path)]
    missing += [name for name in MODULE.findall(line) if not is_defined(name)]
    missing += [name for name in FILE.findall(line) if name not in files]
    missing += [name for name in TEST.findall(line) if name not in tests]
    records = {path.name[:4] for path in ADRS}
    return missing + [f"ADR {n}" for n in ADR_NUMBER.findall(line) if n not in records]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_what_a_document_points_at_exists(document: Path) -> None:
    files = {Path(name).name for name in tracked("*.py")}
    tests = "".join((ROOT / name).read_text(encoding="utf-8") for name in tracked("tests/*.py"))
    missing = []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        found = missing_in(line, document.parent, files, tests)
        missing += [f"{name_of(document)}:{number}: {what}" for what in found]
    assert not missing, "not in the repository:\n" + "\n".join(missing)


def settings_of(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The environment's name of every setting."""
    for name, field in model.model_fields.items():
        yield prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_of(field.annotation, f"{prefix}{name.upper()}__")


def test_the_readme_leads_to_each_page() -> None:
    linked = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    pages = [name for path in DOCUMENTS if "adr" not in (name := name_of(path)) and "/" in name]
    assert len(pages) > 30
    assert not [page for page in pages if page not in linked]


def test_each_place_within_a_document_that_a_link_names_is_there() -> None:
    missing = []
    for document in DOCUMENTS:
        for page, place in ANCHOR.findall(document.read_text(encoding="utf-8")):
            named = document.parent / page if page else document
            text = named.read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            places = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            if place not in {*places, *re.findall(r'<a id="([^"]+)">', text)}:
                missing.append(f"{name_of(document)}: {page}#{place}")
    assert not missing, "\n".join(missing)


def test_each_setting_that_a_document_names_is_one() -> None:
    """Records and the changelog may speak of what was."""
    known = {*settings_of(Settings, "ANDON_"), *files_of(Settings)}
    unknown = [
        f"{name_of(document)}: {setting}"
        for document in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for setting in SETTING.findall(document.read_text(encoding="utf-8"))
        if setting not in known
    ]
    assert not unknown, "\n".join(unknown)


def test_code_names_documents_that_exist() -> None:
    records = {path.name[:4] for path in ADRS}
    missing = []
    for name in tracked("*.py", "*.yaml", "*.toml", "Makefile"):
        text = (ROOT / name).read_text(encoding="utf-8")
        named = [path for path in PATH.findall(text) if path.startswith("docs/")]
        missing += [f"{name}: {path}" for path in named if not is_there(path)]
        numbers = ADR_NUMBER.findall(text)
        missing += [f"{name}: ADR {number}" for number in numbers if number not in records]
    assert not missing, "\n".join(missing)


def test_no_text_speaks_of_what_is_not_in_the_repository() -> None:
    found = []
    for name in tracked(*TEXTS):
        if name == name_of(Path(__file__)):
            continue
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
            if FOREIGN.search(line):
                found.append(f"{name}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_the_architecture_walks_every_module_of_the_way() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    missing = [name for name in (*INSPECT, *CLASSIFY_ROLE, *POLICY) if f"`{name}`" not in text]
    assert not missing


@pytest.mark.parametrize("name", WRITERS)
def test_a_reference_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == WRITERS[name](), "run: python -m andon.reference"


@pytest.mark.parametrize("source", [chart, dashboard], ids=["chart", "dashboard"])
def test_what_is_installed_is_written_from_the_codes_data(source: ModuleType) -> None:
    for name, write in source.WRITERS.items():
        written = (ROOT / source.FOLDER / name).read_text(encoding="utf-8")
        assert written == write(), "run: python -m andon.reference"
