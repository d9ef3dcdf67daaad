"""Secrets from files: ``ANDON_GATEWAY__PASSWORD_FILE`` names the file that holds the password.

Container platforms and systemd hand secrets to a process as files; so nothing secret has to stand
in the environment, where every child process and every listing of processes has it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from andon.settings_names import PREFIX, SettingPlace, nodes_of

SUFFIX: Final = "_FILE"
LONGEST: Final = 65_536
"""Bytes of a secret; a file that is longer is another file."""


def files_of(root: type[BaseModel]) -> Mapping[str, SettingPlace]:
    """Every variable that may name a secret's file, with the setting that it fills."""
    return {f"{n.variable}{SUFFIX}": n for n in nodes_of(root) if is_secret(n)}


def is_secret(place: SettingPlace) -> bool:
    """Whether the setting is a password, a key or an address that holds one."""
    return place.section is None and not place.is_structured and "Secret" in str(place.annotation)


def filled(
    root: type[BaseModel], variables: Mapping[str, str], suffix: str, problems: list[str]
) -> dict[str, str]:
    """The variables, and for each that names a secret's file the secret itself.

    Args:
        root: the settings.
        variables: of one source.
        suffix: names the source in a problem.
        problems: is given what cannot be read, and a secret that is named twice.
    """
    known = files_of(root)
    found = dict(variables)
    names = {name.upper(): name for name in variables}
    for upper, given in names.items():
        if upper not in known or not upper.startswith(PREFIX):
            continue
        target = known[upper].variable
        if target in names:
            problems.append(f"{target} and {upper}{suffix} are both set; keep one of them")
            continue
        secret = read_secret(Path(variables[given]), f"{upper}{suffix}", problems)
        if secret is not None:
            found[target] = secret
    return found


def fill_tables(root: type[BaseModel], values: dict[str, object], problems: list[str]) -> None:
    """The same in what a TOML file says: ``password_file`` beside where ``password`` would stand.

    Args:
        root: the settings.
        values: as the file has them; the secrets take the place of their files.
        problems: is given what cannot be read, and a secret that is named twice.
    """
    for node in files_of(root).values():
        table: object = values
        for step in node.path[:-1]:
            table = table.get(step) if isinstance(table, dict) else None
        name = node.path[-1]
        given = f"{name}{SUFFIX.lower()}"
        if not isinstance(table, dict) or given not in table:
            continue
        path = table.pop(given)
        if name in table:
            problems.append(f"{name} and {given} both stand in a table; keep one of them")
            continue
        secret = read_secret(Path(str(path)), given, problems)
        if secret is not None:
            table[name] = secret


def read_secret(path: Path, where: str, problems: list[str]) -> str | None:
    """What a file holds, without the line break at its end; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
        text = data.decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        problems.append(f"{where} names {path}, which cannot be read: {error.strerror}")
        return None
    except UnicodeDecodeError:
        problems.append(f"{where} names {path}, which is no text")
        return None
    if not text or len(data) > LONGEST:
        what = "is empty" if not text else "is too long for a secret"
        problems.append(f"{where} names {path}, which {what}")
        return None
    return text
