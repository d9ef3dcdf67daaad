"""Known weaknesses of what is installed, asked of a service that speaks OSV's protocol."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from pydantic import BaseModel, ValidationError

from lab.supply.bom import SupplyError, output_of

OURS = "andon"


@dataclass(frozen=True)
class Weakness:
    """A published weakness of a package that is installed."""

    package: str
    version: str
    name: str
    also: tuple[str, ...]
    """Its other names."""
    fixed_in: tuple[str, ...]
    what: str


class _Vulnerability(BaseModel):
    id: str
    aliases: tuple[str, ...] = ()
    fix_versions: tuple[str, ...] = ()
    description: str = ""


class _Audited(BaseModel):
    name: str
    version: str = ""
    skip_reason: str | None = None
    vulns: tuple[_Vulnerability, ...] = ()


class _Report(BaseModel):
    dependencies: tuple[_Audited, ...]


def installed() -> list[tuple[str, str]]:
    """Name and version of each distribution here but our own, without a build's local part."""
    found = {(d.name.lower(), d.version.partition("+")[0]) for d in distributions()}
    return sorted((name, version) for name, version in found if name != OURS)


def audit(
    programs: Path,
    packages: Sequence[tuple[str, str]],
    url: str | None = None,
    ignored: Iterable[str] = (),
) -> list[Weakness]:
    """Ask about each package by ``pip-audit``.

    Args:
        programs: the folder with the program.
        packages: names and versions; they are told to the service.
        url: of a service that speaks OSV's protocol, such as a mirror in the plant; OSV's without.
        ignored: names of weaknesses that were judged and do not count.

    Raises:
        SupplyError: the service gave no answer, so that nothing is known.
    """
    with tempfile.TemporaryDirectory(prefix="andon-") as folder:
        listed = Path(folder, "requirements.txt")
        listed.write_text("".join(f"{name}=={version}\n" for name, version in packages))
        command = [str(programs / "pip-audit"), "-r", str(listed), "--no-deps", "--disable-pip"]
        command += ["-s", "osv", "-f", "json", "--progress-spinner", "off"]
        command += ["--osv-url", url] if url else []
        for name in ignored:
            command += ["--ignore-vuln", name]
        text = output_of(command, fine=(0, 1))  # 1 where there are weaknesses, and where it failed
    try:
        report = _Report.model_validate_json(text)
    except ValidationError:
        raise SupplyError(f"no answer from {url or 'OSV'}, so that nothing is known") from None
    missed = [one.name for one in report.dependencies if one.skip_reason is not None]
    if missed or len(report.dependencies) != len(packages):
        raise SupplyError(f"not every package was asked about: {', '.join(missed[:5])}")
    return [
        Weakness(one.name, one.version, v.id, v.aliases, v.fix_versions, v.description)
        for one in report.dependencies
        for v in one.vulns
    ]
