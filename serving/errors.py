"""Errors of serving that reach a person: artifacts, configuration, deployment."""

from streams.errors import AndonError


class ServingError(AndonError):
    """Root of all errors that serving raises on purpose."""


class StoreError(ServingError):
    """An artifact or exemplar bundle is absent, damaged, or its store cannot be reached."""


class DamagedPointerError(StoreError):
    """What says which version of a product is in force cannot be read; other products are well."""


class ServeConfigError(ServingError):
    """A Serve application's arguments or user configuration cannot be used."""


class DeployError(ServingError):
    """Ray did not take, or did not bring up, the application."""
