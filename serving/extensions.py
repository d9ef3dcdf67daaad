"""Functions of the user's own that a configuration names as ``module:function``.

``vision.loader`` and ``classifier.kind`` of ``infra/serve.yaml`` are the only places that take one.
"""

import importlib
from collections.abc import Callable

from serving.errors import ServeConfigError


def named_function(path: str, where: str) -> Callable[..., object]:
    """The function behind ``module:function``; ``where`` names the setting in errors.

    >>> named_function("math:hypot", "vision.loader")(3, 4)
    5.0

    Raises:
        ServeConfigError: it cannot be imported, or is not a function.
    """
    module, _, name = path.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ServeConfigError(f"{where}: {path!r} cannot be imported: {error}") from error
    if not callable(found):
        raise ServeConfigError(f"{where}: {path!r} is not a function")
    return found
