"""The tree of settings: which names there are, what each takes, and which one was meant."""

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

PREFIX: Final = "ANDON_"
OTHERS: Final = {
    "ANDON_CONFIG": "The TOML file of settings; `andon.toml` in the current folder without it.",
    "ANDON_EVENT_LOOP": "`uvloop` or `asyncio`: what processes wait with (docs/adr/0231).",
    "ANDON_SCHEDULING": "`batch` or `normal`: how the kernel shares its cores (docs/adr/0003).",
    "SSL_CERT_FILE": "PEM file of the authorities that sign the certificates of the object store "
    "and of language models, such as the plant's own; Kafka, PostgreSQL and MQTT have settings.",
}
"""Variables that are read before, or beside, the settings, with what they say."""
OF_TESTS: Final = re.compile(r"ANDON_(?:TEST_\w+|SHARED|GOLDEN|DDAD_EPOCHS)")
_ORCHESTRATORS: Final = re.compile(
    r"ANDON_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT\w*)|ANDON_\w*PORT_\d+_\w+"
)
_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://")

Path = tuple[str, ...]
Step = str | int


@dataclass(frozen=True)
class SettingPlace:
    """One place in the tree: a section, or a setting."""

    path: Path
    annotation: object
    field: FieldInfo | None = None

    @property
    def variable(self) -> str:
        """The environment's name."""
        return variable_of(self.path)

    @property
    def section(self) -> type[BaseModel] | None:
        """The model of a section; None for a setting."""
        return model_in(self.annotation)

    @property
    def is_structured(self) -> bool:
        """Whether its value is JSON in the environment."""
        return self.section is not None or bool(_parts(self.annotation) & {dict, tuple, list})

    @property
    def has_free_names(self) -> bool:
        """Whether the names below it are the plant's own."""
        return dict in _parts(self.annotation)

    @property
    def is_list(self) -> bool:
        """Whether it is a list, which the environment gives whole."""
        return bool(_parts(self.annotation) & {tuple, list})

    @property
    def is_list_of_words(self) -> bool:
        """Whether it is a list of text, which may be written with commas."""
        return self.is_list and str in get_args(_plain(self.annotation))


def variable_of(path: Iterable[Step]) -> str:
    """``("kafka", "partitions")`` as ``ANDON_KAFKA__PARTITIONS``."""
    return PREFIX + "__".join(str(step) for step in path).upper()


def nodes_of(root: type[BaseModel], path: Path = ()) -> Iterator[SettingPlace]:
    """All sections and settings below ``root``, in the order of the code."""
    for name, field in root.model_fields.items():
        node = SettingPlace((*path, name), field.annotation, field)
        yield node
        if node.section is not None:
            yield from nodes_of(node.section, node.path)


def model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation is, also where it may be None; none of a list of models."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return next((m for part in get_args(annotation) if (m := model_in(part))), None)
    return None


def is_foreign(name: str, value: str) -> bool:
    """Whether a variable is not a setting's: of tests, or written by Kubernetes or Docker."""
    if name in OTHERS or OF_TESTS.fullmatch(name) or _LINK.match(value):
        return True
    return _ORCHESTRATORS.fullmatch(name) is not None


def find(root: type[BaseModel], path: Sequence[Step]) -> SettingPlace | None:
    """The setting at a path, which may lead into lists and free names; None where there is none."""
    annotation: object = root
    field: FieldInfo | None = None
    for step in path:
        model = model_in(annotation)
        if model is not None:
            field = model.model_fields.get(str(step))
            if field is None:
                return None
            annotation = field.annotation
            continue
        inner = [a for a in get_args(_plain(annotation)) if a is not Ellipsis]
        if not inner:
            return None
        annotation = inner[-1]
    return SettingPlace(tuple(str(step) for step in path), annotation, field)


def names_at(root: type[BaseModel], path: Sequence[Step]) -> list[str]:
    """What may stand at a path, for the message about a name that may not."""
    node = find(root, path) if path else SettingPlace((), root)
    model = None if node is None else node.section
    return [] if model is None else list(model.model_fields)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant: the same but for signs and case, else the closest."""
    names = list(known)
    same = [one for one in names if _letters(one) == _letters(name)]
    if same:
        return same[0]
    close = difflib.get_close_matches(name.lower(), [one.lower() for one in names], 1, 0.72)
    return next((one for one in names if close and one.lower() == close[0]), None)


def elsewhere(root: type[BaseModel], name: str) -> Path | None:
    """Where a name stands that was written in another section; None unless it is one place."""
    places = [node.path for node in nodes_of(root) if _letters(node.path[-1]) == _letters(name)]
    return places[0] if len(places) == 1 else None


def variables_of(root: type[BaseModel]) -> Mapping[str, SettingPlace]:
    """Every setting and section by the environment's name."""
    return {node.variable: node for node in nodes_of(root)}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _plain(annotation: object) -> object:
    """Without what only annotates, and without None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        return _plain(inner[0])
    return annotation


def _parts(annotation: object) -> set[object]:
    plain = _plain(annotation)
    origin = get_origin(plain)
    return set() if origin is Literal else {origin or plain}
