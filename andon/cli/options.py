"""What commands share: ``--json``, and ``--set NAME=VALUE`` for options that are asked for rarely.

A command has flags for what is asked for every day. Its other options are the fields of a model,
and ``--set`` gives one of them: ``--set limit=20 --set price-in=2.5``.
"""

import getpass
import inspect
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
from pydantic import ValidationError

from streams.names import fault_of, normal_form
from streams.settings import Section

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
More = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="An option of the list below; repeatable."),
]

CameraSource = Annotated[
    str | None,
    typer.Option(
        help="folder:, list:, synthetic:, opencv:, snapshot:, genicam: or aravis:, as "
        "docs/cameras.md says; ANDON_GATEWAY__CAMERA."
    ),
]


def refuse_unused(camera: str | None, by_shot: Sequence[str]) -> None:
    """Refuse ``--camera`` where each shot names a camera, and nothing would be taken by it.

    Args:
        camera: as it was given; None: it was not.
        by_shot: the camera that each of ``gateway.shots`` names; empty where it names none.
    """
    if camera is not None and by_shot and all(by_shot):
        raise typer.BadParameter(
            "each of gateway.shots names its own camera, so this one would take no picture; leave "
            "it out, or change the shots",
            param_hint="--camera",
        )


def group(text: str) -> typer.Typer:
    """The application of a command that has commands of its own; ``text`` is its help."""
    return typer.Typer(help=text, no_args_is_help=True, add_completion=False)


def plant_name(given: str | None) -> str | None:
    """A product or class that an option names, without blanks around it; for ``callback``.

    Raises:
        typer.BadParameter: it is no name; said before the work begins.
    """
    if given is not None and (fault := fault_of(given := normal_form(given))):
        raise typer.BadParameter(f"{given[:80]!r} {fault}")
    return given


Product = Annotated[
    str,
    typer.Option(
        "--product", "-p", callback=plant_name, help="The product, as in its policy and the PLC."
    ),
]
OneProduct = Annotated[
    str | None,
    typer.Option("--product", "-p", callback=plant_name, help="One product; all without."),
]


def whoever_asks(given: str) -> str:
    """A callback: who is named, or the user of this host."""
    return given or getpass.getuser()


By = Annotated[
    str, typer.Option(callback=whoever_asks, help="Who; by default the user of this host.")
]


def writable_folder(folder: Path, option: str) -> Path:
    """The folder, made where it is absent: said before the work begins, not after it.

    Raises:
        typer.BadParameter: it is a file, or may not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        words = f"{folder} cannot be written: {error.strerror}"
        raise typer.BadParameter(words, param_hint=option) from None


def writable_file(path: Path, option: str) -> Path:
    """A file that may be written, said before the work begins; its folder is made where absent.

    Raises:
        typer.BadParameter: it is a folder, or may not be written.
    """
    writable_folder(path.parent, option)
    if path.is_dir() or (path.exists() and not os.access(path, os.W_OK)):
        raise typer.BadParameter(f"{path} is no file that can be written", param_hint=option)
    return path


class MoreOptions(Section):
    """Options that belong together, each with its type, bounds and default."""


Chosen = TypeVar("Chosen", bound=MoreOptions)
P = ParamSpec("P")


def read_options(model: type[Chosen], given: Sequence[str] | None) -> Chosen:
    """The options of ``--set``; dashes and underscores in names are the same.

    Raises:
        typer.BadParameter: not of the form ``name=value``, no such option, or not such a value.

    >>> class Rarely(MoreOptions):
    ...     limit: int = 10
    >>> read_options(Rarely, ["limit=3"]).limit
    3
    """
    values = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not of the form name=value", param_hint="--set")
        values[name.strip().replace("-", "_")] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        problem = f"{name.replace('_', '-')}: {first['msg']}"
        if name not in model.model_fields:
            names = ", ".join(n.replace("_", "-") for n in model.model_fields)
            problem = f"no option {name.replace('_', '-')!r}; there are {names}"
        raise typer.BadParameter(problem, param_hint="--set") from None


def listed(model: type[MoreOptions]) -> str:
    """The options of ``--set`` with their defaults, for the end of a command's help."""
    rows = ["Options of --set:"]
    for name, field in model.model_fields.items():
        default = f" Default: {field.default}." if field.default not in (None, "", ()) else ""
        rows.append(f"{name.replace('_', '-')}: {field.description}{default}")
    return "\n\n".join(rows)


def taking(**makers: object) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Options that several commands share, as one object.

    ``@taking(wanted=chosen)`` gives a command the options of the function ``chosen``, and hands
    what that makes of them to the command's parameter ``wanted``.
    """

    def decorate(command: Callable[P, None]) -> Callable[P, None]:
        parameters: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(command).parameters.items():
            parameters += _parameters(makers[name]) if name in makers else [parameter]

        @wraps(command)
        def run(*arguments: P.args, **options: P.kwargs) -> None:
            for name, make in makers.items():
                assert callable(make)
                options[name] = make(**{p.name: options.pop(p.name) for p in _parameters(make)})
            command(*arguments, **options)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _parameters(make: object) -> list[inspect.Parameter]:
    assert callable(make)
    return list(inspect.signature(make).parameters.values())
