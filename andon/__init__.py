"""The command line, the settings and the one composition root."""

__version__ = "0.2.0"
