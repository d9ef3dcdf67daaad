"""The bill of materials in CycloneDX's format: what is installed here, with licences."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from streams.errors import AndonError

TIMEOUT_S: Final = 300.0
PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"
"""What the bill is about; absent where the wheel was installed."""

CONCLUDED: Final = "concluded"
"""How the format marks a licence that somebody found out, in place of one declared."""


class SupplyError(AndonError):
    """What is installed cannot be told or judged; the message says why."""


class _Part(BaseModel):
    """A piece of the document; what is not read here is kept as it is."""

    model_config = ConfigDict(extra="allow")


class NamedLicence(_Part):
    """A licence by its SPDX identifier, or by whatever name the package gives it."""

    id: str | None = None
    name: str | None = None


class LicenceChoice(_Part):
    """One licence, or an expression of several."""

    license: NamedLicence | None = None
    expression: str | None = None
    acknowledgement: str | None = None

    @property
    def stated(self) -> str:
        """The identifier, the name or the expression."""
        if self.license is not None:
            return self.license.id or self.license.name or ""
        return self.expression or ""


class Component(_Part):
    """One distribution that is installed."""

    name: str
    version: str = ""
    licenses: list[LicenceChoice] = []

    @property
    def declared(self) -> list[str]:
        """What its metadata say about its licence; empty where they say nothing."""
        stated = [c.stated for c in self.licenses if c.acknowledgement != CONCLUDED]
        return [text for text in stated if text]


class Bill(_Part):
    """The document."""

    components: list[Component] = []

    def text(self) -> str:
        """The document as JSON, with what was never set left out."""
        return self.model_dump_json(indent=2, exclude_unset=True) + "\n"


def read_bill(text: str) -> Bill:
    """A bill of materials from its JSON.

    Raises:
        SupplyError: it is none.
    """
    try:
        return Bill.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SupplyError(f"no CycloneDX document: {where}: {first['msg']}") from None


def text_of(path: Path) -> str:
    """The text of a bill's file.

    Raises:
        SupplyError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SupplyError(f"{path}: {error}") from error


def installed_bill(programs: Path) -> Bill:
    """What is installed beside this Python, told by ``cyclonedx-py`` and checked by its schema.

    The same environment gives the same document: it names neither a time nor a number of its own.

    Raises:
        SupplyError: the tool failed.
    """
    command = [str(programs / "cyclonedx-py"), "environment", sys.executable]
    command += ["--output-reproducible", "--of", "JSON"]
    if PROJECT.is_file():
        command += ["--pyproject", str(PROJECT)]
    return read_bill(output_of(command))


def output_of(
    command: Sequence[str],
    fine: Sequence[int] = (0,),
    timeout_s: float = TIMEOUT_S,
    env: Mapping[str, str] | None = None,
) -> str:
    """What a tool prints; ``env`` is its whole environment, ours without.

    Raises:
        SupplyError: it cannot be run, takes too long, or ends with a code that is not ``fine``.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=env)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SupplyError(f"{name}: {error}") from error
    if done.returncode not in fine:
        words = done.stderr.strip()[-800:] or f"exit code {done.returncode}"
        raise SupplyError(f"{name}: {words}")
    return done.stdout
