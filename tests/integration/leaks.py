"""The secrets of a stack, and where a run wrote one of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from andon.stack.local import LocalStack
from streams.principals import Role

SHORTEST: Final = 16
"""Of a secret that is looked for: a shorter one is found by chance."""
WHERE_THEY_BELONG: Final = ("security", "ray_token", "server.properties", "iam")
"""Names below a stack's folder, readable by its owner alone. MinIO keeps its users in ``iam``."""


def secrets_of(stack: LocalStack) -> dict[str, str]:
    """Every password, key and token of a secured stack, by where it is kept."""
    folder = stack.security_folder
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path
    texts = {name: _secret_part(path) for name, path in found.items()}
    texts["ray_token"] = stack.settings(Role.ADMIN).serve.token_file.read_text().strip()
    return {name: text for name, text in texts.items() if len(text) >= SHORTEST}


def leaks(folder: Path, secrets: Mapping[str, str]) -> list[str]:
    """The files below a folder that hold a secret, and which, but those made to keep it."""
    wanted = {name: text.encode() for name, text in secrets.items()}
    return [
        f"{path.relative_to(folder)}: {name}"
        for path in _files(folder)
        for name in _in(path.read_bytes(), wanted)
    ]


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        kept = set(WHERE_THEY_BELONG) & set(path.relative_to(folder).parts)
        if path.is_file() and not path.is_symlink():
            if kept:
                assert _is_private(path, folder), f"{path} is for its owner alone"
            else:
                yield path


def _is_private(path: Path, folder: Path) -> bool:
    """Whether nobody else may read it, or pass one of the folders above it."""
    above = [parent for parent in path.parents if parent.is_relative_to(folder / "")]
    return any(not one.stat().st_mode & 0o077 for one in (path, *above) if one != folder)


def _in(content: bytes, wanted: Mapping[str, bytes]) -> Iterator[str]:
    return (name for name, text in wanted.items() if text in content)


def _secret_part(path: Path) -> str:
    """A password as it is; of a private key its longest line; nothing of what is public."""
    try:
        text = path.read_text().strip()
    except UnicodeDecodeError:
        return ""  # a certificate
    if "-----BEGIN" not in text:
        return text
    _, begins, key = text.partition("PRIVATE KEY-----\n")
    return max(key.partition("-----END")[0].splitlines(), key=len) if begins else ""
