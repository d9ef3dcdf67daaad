"""Which wheels a production install takes, and where wheels for another machine come from."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lab.peers.environment import uv_program
from lab.supply.bom import SupplyError, output_of
from lab.supply.tools import programs

DOWNLOAD_TIMEOUT_S: Final = 7200.0
GLIBC: Final = 34
"""The newest ``manylinux_2_N`` that is taken: Debian 12, Ubuntu 22.04, RHEL 9 and newer have it."""
MACHINES: Final = {"linux-x86_64": "x86_64", "linux-aarch64": "aarch64"}
"""Processors, as platform tags name them."""
_WHY: Final = "it says which wheels a production install takes"


def pins(project: Path, machine: str, python: str, extras: Sequence[str]) -> str:
    """Requirements with the hashes of ``constraints-hashed.txt``, for one machine and Python.

    Args:
        project: the checkout.
        machine: one of ``MACHINES``.
        python: as ``3.11``.

    Raises:
        PeerError: no uv.
        SupplyError: no registry, or a package whose hash is not known.
    """
    if machine not in MACHINES:
        raise SupplyError(f"no bundle for {machine}: there are {', '.join(MACHINES)}")
    hashed = project / "constraints-hashed.txt"
    command = [uv_program(_WHY), "pip", "compile", "-q", str(project / "pyproject.toml")]
    command += ["-c", str(hashed), "--no-header", "--no-annotate", "--no-emit-index-url"]
    command += ["--python-version", python]
    command += ["--python-platform", f"{MACHINES[machine]}-manylinux_2_{GLIBC}"]
    for extra in extras:
        command += ["--extra", extra]
    known = blocks(hashed.read_text(encoding="utf-8"))
    chosen = output_of(command, timeout_s=600.0).splitlines()
    if unknown := [pin for pin in chosen if pin not in known]:
        raise SupplyError(f"constraints-hashed.txt has no hash of {', '.join(unknown)}: pin anew")
    return "".join(known[pin] for pin in chosen)


def blocks(hashed: str) -> dict[str, str]:
    """The lines of each pin in a file of requirements with hashes, without its marker.

    >>> blocks("a==1 ; python_version < '3' \\\\\\n    --hash=sha256:0\\n")["a==1"]
    'a==1 \\\\\\n    --hash=sha256:0\\n'
    """
    found = {}
    for block in re.findall(r"^\S.*\\\n(?:    --hash=.*\n?)+", hashed, re.MULTILINE):
        first, _, rest = block.partition("\n")
        pin = first.rstrip("\\ ").partition(" ;")[0]
        found[pin] = f"{pin} \\\n{rest}"
    return found


def download(requirements: Sequence[Path], wheels: Path, machine: str, python: str) -> None:
    """Fetch the wheel of each pin by pip, which refuses one with another hash.

    Raises:
        SupplyError: no registry, or a package has no wheel for the machine.
    """
    work = wheels.with_name("download")
    work.mkdir(parents=True)
    command = [str(programs() / "python"), "-m", "pip", "download", "-q", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--no-cache-dir", "-d", str(wheels)]
    command += ["--disable-pip-version-check", "--python-version", python]
    command += ["--implementation", "cp"]
    processor = MACHINES[machine]
    tags = [f"manylinux_2_{n}" for n in range(GLIBC, 4, -1)]
    for tag in [*tags, "manylinux2014", "manylinux2010", "manylinux1", "linux"]:
        command += ["--platform", f"{tag}_{processor}"]
    for file in requirements:
        command += ["-r", str(file)]
    try:
        env = {**os.environ, "TMPDIR": str(work)}  # gigabytes; /tmp may be small
        output_of(command, timeout_s=DOWNLOAD_TIMEOUT_S, env=env)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def own_wheel(project: Path, wheels: Path) -> Path:
    """Andon's wheel with console, prompts and policies, built from the checkout.

    Raises:
        PeerError: no uv.
        SupplyError: hatchling is not installed here.
    """
    before = set(wheels.glob("*.whl"))
    build = [uv_program(_WHY), "build", "-q", "--wheel", "--no-build-isolation"]
    build += ["--python", sys.executable, "--out-dir", str(wheels), str(project)]
    output_of(build, timeout_s=600.0)
    (wheels / ".gitignore").unlink(missing_ok=True)
    (made,) = set(wheels.glob("*.whl")) - before
    return made
