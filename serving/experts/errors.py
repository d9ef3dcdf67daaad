"""Errors of the vision experts; a tree of its own, since the package is free of ``streams``."""


class ExpertError(Exception):
    """Root of all errors that the vision experts raise on purpose."""


class UndecodableImage(ExpertError):
    """The bytes are not an image that can be decoded; the message says why."""


class ArtifactError(ExpertError):
    """An artifact is missing, truncated, tampered with or of a schema this build does not read."""


class TrainingError(ExpertError):
    """The images or options do not allow an expert to be trained."""


def check_range(options: object, least: float, most: float, *names: str) -> None:
    """Refuse numbers of ``options`` outside ``least`` to ``most``, both included.

    Raises:
        TrainingError: names the option.
    """
    for name in names:
        value = getattr(options, name)
        if not least <= value <= most:
            allowed = f"below {least}" if value < least else f"above {most}"
            raise TrainingError(f"{name} {value} is {allowed}")


class RuntimeUnavailable(ExpertError):
    """This machine does not have the runtime, device or precision that was asked for."""
