"""Errors of the vision experts; a tree of its own, since the package is free of ``streams``."""


class ExpertError(Exception):
    """Root of all errors that the vision experts raise on purpose."""


class UndecodableImage(ExpertError):
    """The bytes are not an image that can be decoded; the message says why."""


class ArtifactError(ExpertError):
    """An artifact is missing, truncated, tampered with or of a schema this build does not read."""


class TrainingError(ExpertError):
    """The images or options do not allow an expert to be trained."""


class RuntimeUnavailable(ExpertError):
    """The runtime, device or precision asked for is not to be had on this machine."""
